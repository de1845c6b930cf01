SELECT encode(key_hash, 'hex') AS key_hash, account, scopes, label, created_at, revoked_at
FROM api_keys
ORDER BY created_at DESC, key_hash
LIMIT $1
