//! Serves TCP and echoes every byte back.
