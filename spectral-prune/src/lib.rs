//! Criteria, granularity, budgets, schedules, coupled groups and compaction.
