//! Losses, optimisers, schedules and the trainer.
