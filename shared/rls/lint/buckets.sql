-- The buckets whose objects anybody may fetch by their URL.
select b.id::text from storage.buckets as b where b.public order by b.id
