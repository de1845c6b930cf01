-- Whether $1 has read less of a partition of $3 than $2 has.
SELECT coalesce(
    (SELECT next_offset FROM positions WHERE consumer_group = $1 AND topic = $3 AND partition = $4), 0
) < coalesce(
    (SELECT next_offset FROM positions WHERE consumer_group = $2 AND topic = $3 AND partition = $4), 0
)
