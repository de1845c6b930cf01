-- Gaps, newest first; a null leaves that filter out.
SELECT exchange, product_id, first, last, missing, status, reason, opened_time, closed_time
FROM gaps
WHERE exchange = coalesce($1, exchange) AND product_id = coalesce($2, product_id) AND status = coalesce($3, status)
ORDER BY opened_time DESC, exchange, product_id, first
LIMIT $4
