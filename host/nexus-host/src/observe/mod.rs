//! What a run tells about itself: the summary at its end, the report file, refusals as they happen,
//! log lines, spans and numbers.

pub mod audit;
pub mod denials;
pub mod log;
pub mod passed;
pub mod report;
pub mod summary;
pub mod telemetry;
