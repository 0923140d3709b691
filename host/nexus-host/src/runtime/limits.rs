//! What an app may use, and how much of it it did use.

use std::time::Duration;

use nexus_policy::Limits;
use nexus_services::http;
use nexus_types::limits;
use wasmtime::ResourceLimiter;

/// An app's limits, after the manifest was heard and the operator's cap applied.
#[derive(Clone, Copy, Debug)]
pub struct AppLimits {
    /// All its linear memories together.
    pub memory_bytes: u64,
    /// Elements of all its tables together.
    pub table_elements: u64,
    /// Handles it may hold.
    pub handles: u32,
    /// Bytes it may hand over in one call.
    pub hostcall_bytes: u64,
    /// How long it may run, host calls included.
    pub deadline: Option<Duration>,
    /// What a request of its over HTTP may take.
    pub requests: http::Limits,
}

impl AppLimits {
    /// What an app's admission gives it.
    pub(crate) fn of(admitted: &Limits) -> Self {
        Self {
            memory_bytes: admitted.memory,
            handles: admitted.handles,
            deadline: admitted.timeout,
            requests: http::Limits {
                request_body: admitted.request_body,
                response_body: admitted.response_body,
                timeouts: http::Timeouts {
                    total: admitted.request_timeout,
                    ..http::Timeouts::default()
                },
                ..http::Limits::default()
            },
            ..Self::default()
        }
    }
}

impl Default for AppLimits {
    fn default() -> Self {
        Self {
            memory_bytes: limits::MEMORY_BYTES,
            table_elements: limits::TABLE_ELEMENTS,
            handles: limits::HANDLES,
            hostcall_bytes: limits::HOSTCALL_BYTES,
            deadline: None,
            requests: http::Limits::default(),
        }
    }
}

/// Core instances, memories and tables of one app: as the pool has them, see `engine.rs`.
const CORE_INSTANCES: usize = 64;
const MEMORIES: usize = 8;
const TABLES: usize = 64;

/// Counts what wasmtime asks for and says no past the limit: growing then fails inside the app.
#[derive(Debug)]
pub struct Ledger {
    limits: AppLimits,
    memory_bytes: u64,
    memory_bytes_peak: u64,
    /// The last growth of memory that was permitted, to be taken back if it fails.
    memory_growth: Growth,
    table_elements: u64,
    table_elements_peak: u64,
    /// A growth that was refused, for the report.
    refused: Option<Refused>,
    slices: u64,
}

/// What a permitted growth added, and the peak before it.
#[derive(Clone, Copy, Default, Debug)]
struct Growth {
    added: u64,
    peak_before: u64,
}

/// What an app asked for and did not get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Memory: this many bytes in all.
    Memory(u64),
    /// Table elements: this many in all.
    Table(u64),
}

impl Ledger {
    /// Nothing used yet.
    pub fn new(limits: AppLimits) -> Self {
        Self {
            limits,
            memory_bytes: 0,
            memory_bytes_peak: 0,
            memory_growth: Growth::default(),
            table_elements: 0,
            table_elements_peak: 0,
            refused: None,
            slices: 0,
        }
    }

    /// The limits it keeps.
    pub fn limits(&self) -> &AppLimits {
        &self.limits
    }

    /// The most memory the app had at any time.
    pub fn memory_bytes_peak(&self) -> u64 {
        self.memory_bytes_peak
    }

    /// The most table elements the app had at any time.
    pub fn table_elements_peak(&self) -> u64 {
        self.table_elements_peak
    }

    /// The last growth that was refused.
    pub fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// How often the app was made to yield.
    pub fn slices(&self) -> u64 {
        self.slices
    }

    /// The app was made to yield.
    pub fn count_slice(&mut self) {
        self.slices += 1;
    }
}

impl ResourceLimiter for Ledger {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Past what the memory itself may become: it fails, whatever we say, and not by our limit.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let grown = desired.saturating_sub(current) as u64;
        let all = self.memory_bytes.saturating_add(grown);
        if all > self.limits.memory_bytes {
            self.refused = Some(Refused::Memory(all));
            return Ok(false);
        }
        self.memory_growth = Growth {
            added: grown,
            peak_before: self.memory_bytes_peak,
        };
        self.memory_bytes = all;
        self.memory_bytes_peak = self.memory_bytes_peak.max(all);
        Ok(true)
    }

    /// What was permitted did not come about (the operating system has no more): it is not held.
    /// wasmtime asks before each growth that can fail here, except those of memories with pages
    /// of one byte, which `engine.rs` turns off: so this is about the growth permitted last.
    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        let growth = std::mem::take(&mut self.memory_growth);
        if growth.added > 0 {
            self.memory_bytes = self.memory_bytes.saturating_sub(growth.added);
            self.memory_bytes_peak = growth.peak_before;
        }
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let grown = desired.saturating_sub(current) as u64;
        let all = self.table_elements.saturating_add(grown);
        if all > self.limits.table_elements {
            self.refused = Some(Refused::Table(all));
            return Ok(false);
        }
        self.table_elements = all;
        self.table_elements_peak = self.table_elements_peak.max(all);
        Ok(true)
    }

    /// Takes nothing back. wasmtime tells of growth it never asked about (by -1, of a table with
    /// 64-bit indexes), and what was permitted before did come about; growth permitted here
    /// fails only past the table's own maximum, which was refused above, or with a trap.
    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        Ok(())
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger::new(AppLimits {
            memory_bytes: 3 << 16,
            table_elements: 10,
            ..AppLimits::default()
        })
    }

    #[test]
    fn memory_at_the_limit_is_given_over_all_memories() {
        let mut ledger = ledger();
        assert!(ledger.memory_growing(0, 1 << 16, None).expect("asks"));
        assert!(ledger.memory_growing(0, 2 << 16, None).expect("asks"));
        assert_eq!(ledger.memory_bytes_peak(), 3 << 16);
        assert_eq!(ledger.refused(), None);
    }

    #[test]
    fn reject_memory_over_the_limit() {
        let mut ledger = ledger();
        assert!(ledger.memory_growing(0, 3 << 16, None).expect("asks"));
        assert!(!ledger.memory_growing(3 << 16, 4 << 16, None).expect("asks"));
        assert_eq!(ledger.refused(), Some(Refused::Memory(4 << 16)));
        assert_eq!(ledger.memory_bytes_peak(), 3 << 16);
    }

    #[test]
    fn table_elements_at_the_limit_are_given_over_all_tables() {
        let mut ledger = ledger();
        assert!(ledger.table_growing(0, 4, None).expect("asks"));
        assert!(ledger.table_growing(0, 6, None).expect("asks"));
    }

    #[test]
    fn reject_table_elements_over_the_limit() {
        let mut ledger = ledger();
        assert!(ledger.table_growing(0, 10, None).expect("asks"));
        assert!(!ledger.table_growing(0, 1, None).expect("asks"));
        assert_eq!(ledger.refused(), Some(Refused::Table(11)));
    }

    fn failure() -> wasmtime::Error {
        wasmtime::format_err!("the system has no more")
    }

    #[test]
    fn growth_that_failed_is_not_held() {
        let mut ledger = ledger();
        assert!(ledger.memory_growing(0, 1 << 16, None).expect("asks"));
        assert!(ledger.memory_growing(1 << 16, 3 << 16, None).expect("asks"));
        ledger.memory_grow_failed(failure()).expect("hears");
        assert_eq!(ledger.memory_bytes_peak(), 1 << 16);
        // Told twice, it is taken back once; and what it would have taken is free.
        ledger.memory_grow_failed(failure()).expect("hears");
        assert!(ledger.memory_growing(1 << 16, 3 << 16, None).expect("asks"));
        assert_eq!(ledger.memory_bytes_peak(), 3 << 16);
    }

    #[test]
    fn reject_table_elements_over_the_limit_after_growth_nobody_asked_about() {
        let mut ledger = ledger();
        assert!(ledger.table_growing(0, 6, None).expect("asks"));
        ledger.table_grow_failed(failure()).expect("hears");
        assert!(!ledger.table_growing(6, 11, None).expect("asks"));
        assert_eq!(ledger.table_elements_peak(), 6);
    }

    #[test]
    fn reject_growth_past_its_own_maximum_without_counting_it() {
        let mut ledger = ledger();
        let one = Some(1 << 16);
        assert!(ledger.memory_growing(0, 1 << 16, one).expect("asks"));
        assert!(!ledger.memory_growing(1 << 16, 2 << 16, one).expect("asks"));
        assert_eq!(ledger.memory_bytes_peak(), 1 << 16);
        assert!(!ledger.table_growing(0, 5, Some(4)).expect("asks"));
        assert_eq!(ledger.table_elements_peak(), 0);
        // It was not our limit.
        assert_eq!(ledger.refused(), None);
    }
}
