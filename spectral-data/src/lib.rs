//! Data sets, readers, splits and fetching.
