//! What a run tells about itself: the summary at its end, the report file, refusals as they happen.

pub mod audit;
pub mod denials;
pub mod report;
pub mod summary;
