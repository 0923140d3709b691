//! The smallest app: prints a greeting and its arguments.
