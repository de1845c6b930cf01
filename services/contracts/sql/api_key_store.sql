INSERT INTO api_keys (key_hash, account, scopes, label) VALUES ($1, $2, $3, $4)
