GRANT SELECT ON schema_version TO tickplane_validator;
GRANT SELECT, INSERT, UPDATE ON positions TO tickplane_validator;
