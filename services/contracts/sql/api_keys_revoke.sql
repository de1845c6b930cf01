-- Revoke the keys whose hash begins with $1 (hex), if there is but one; the hashes of those that it fits.
WITH fitting AS (SELECT key_hash FROM api_keys WHERE starts_with(encode(key_hash, 'hex'), $1)),
revoked AS (
    UPDATE api_keys SET revoked_at = coalesce(revoked_at, now())
    WHERE key_hash IN (SELECT key_hash FROM fitting) AND (SELECT count(*) FROM fitting) = 1
)
SELECT encode(key_hash, 'hex') FROM fitting
