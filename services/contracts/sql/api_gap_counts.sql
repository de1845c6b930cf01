SELECT status, count(*), coalesce(sum(missing), 0)::bigint FROM gaps GROUP BY status ORDER BY status
