-- Keep the newest of a log, and what is of another log not at all.
DELETE FROM matching_snapshots AS old
WHERE old.market_group = $1
  AND (
      old.log_id <> $2
      OR old.next_offset NOT IN (
          SELECT newest.next_offset
          FROM matching_snapshots AS newest
          WHERE newest.market_group = $1 AND newest.log_id = $2
          ORDER BY newest.next_offset DESC
          LIMIT $3
      )
  )
