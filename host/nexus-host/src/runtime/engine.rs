//! The wasmtime engine: every limit of `nexus_types::limits` that it can enforce, on.

use std::thread;
use std::time::Duration;

use nexus_types::limits;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::signals::Signals;

/// The native stack of one guest task. wasmtime gives host functions what the guest's own
/// [`limits::WASM_STACK_BYTES`] leave of it.
const ASYNC_STACK_BYTES: usize = 2 << 20;

/// What of a used slot stays mapped for the next instance: page faults cost more than this memory.
const KEEP_MEMORY_BYTES: usize = 2 << 20;
const KEEP_TABLE_BYTES: usize = 64 << 10;
const KEEP_STACK_BYTES: usize = 64 << 10;

/// What one component may be made of. Stops a component of ten thousand core modules from
/// taking the pool of everybody; it fails to start.
const CORE_INSTANCES_PER_COMPONENT: u32 = 64;
const MEMORIES_PER_COMPONENT: u32 = 8;
const TABLES_PER_COMPONENT: u32 = 64;

/// What makes a guest that computes give way to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slices {
    /// Time: see [`HostEngine::start_ticking`].
    Ticks,
    /// So many instructions: the same ones in every run.
    Fuel(u64),
}

/// What the operator decides of an engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// How many apps may live at once.
    pub instances: u32,
    /// The most memory any app may be given.
    pub memory_bytes_cap: u64,
    /// Slots reserved ahead; off, memory is mapped as apps start.
    pub pooling: bool,
    /// What makes a guest that computes give way.
    pub slices: Slices,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            instances: 1,
            memory_bytes_cap: limits::MEMORY_BYTES_CAP,
            pooling: true,
            slices: Slices::Ticks,
        }
    }
}

/// An engine, and whether its slots were reserved ahead.
#[derive(Clone)]
pub struct HostEngine {
    engine: Engine,
    pooled: bool,
    slices: Slices,
}

/// The engine could not be made: the machine lacks something. Neither app nor operator is wrong.
#[derive(Debug)]
pub struct EngineError(String);

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the WebAssembly engine does not start: {}", self.0)
    }
}

impl std::error::Error for EngineError {}

impl HostEngine {
    /// Reserves the slots, or, where the address space cannot be had, does without.
    pub fn new(options: EngineOptions) -> Result<Self, EngineError> {
        let mut config = base_config(options.slices);
        if options.pooling {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(options)));
            if let Ok(engine) = Engine::new(&config) {
                return Ok(Self {
                    engine,
                    pooled: true,
                    slices: options.slices,
                });
            }
        }
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        match Engine::new(&config) {
            Ok(engine) => Ok(Self {
                engine,
                pooled: false,
                slices: options.slices,
            }),
            Err(error) => Err(EngineError(format!("{error:#}"))),
        }
    }

    /// The engine itself.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What makes its guests give way.
    pub fn slices(&self) -> Slices {
        self.slices
    }

    /// Whether the slots were reserved ahead.
    pub fn pooled(&self) -> bool {
        self.pooled
    }

    /// Starts the thread that makes spinning guests yield and brings signals to them. It ends
    /// by itself when the last handle on the engine is gone.
    pub fn start_ticking(&self, signals: Option<Signals>) -> std::io::Result<()> {
        let engine = self.engine.weak();
        thread::Builder::new()
            .name("nexus-epoch".into())
            .spawn(move || {
                loop {
                    thread::sleep(Duration::from_micros(limits::EPOCH_TICK_MICROS));
                    let Some(engine) = engine.upgrade() else {
                        return;
                    };
                    engine.increment_epoch();
                    if let Some(signals) = &signals {
                        signals.deliver();
                    }
                }
            })?;
        Ok(())
    }
}

fn base_config(slices: Slices) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(slices == Slices::Ticks)
        .consume_fuel(slices != Slices::Ticks)
        // The ledger of `limits.rs` counts on it.
        .wasm_custom_page_sizes(false)
        .max_wasm_stack(limits::WASM_STACK_BYTES as usize)
        .async_stack_size(ASYNC_STACK_BYTES)
        .wasm_component_model_async(true);
    config
}

fn pool(options: EngineOptions) -> PoolingAllocationConfig {
    let apps = options.instances.max(1);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(apps)
        .total_core_instances(apps.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        // Most apps have one memory; those with more share what the others leave.
        .total_memories(apps.saturating_add(MEMORIES_PER_COMPONENT))
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        // One module may have all of its component's: this reserves nothing more.
        .max_memories_per_module(MEMORIES_PER_COMPONENT)
        .total_tables(apps.saturating_mul(4).saturating_add(TABLES_PER_COMPONENT))
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_tables_per_module(TABLES_PER_COMPONENT)
        .table_elements(limits::TABLE_ELEMENTS as usize)
        // A guest that works on several things at once has a stack for each.
        .total_stacks(apps.saturating_mul(4).saturating_add(64))
        .max_memory_size(usize::try_from(options.memory_bytes_cap).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(KEEP_MEMORY_BYTES)
        .table_keep_resident(KEEP_TABLE_BYTES)
        .async_stack_keep_resident(KEEP_STACK_BYTES);
    pool
}

const _: () = assert!(limits::WASM_STACK_BYTES as usize * 2 <= ASYNC_STACK_BYTES);
// wasmtime reserves 4 GiB an ordinary memory; the cap must fit in.
const _: () = assert!(limits::MEMORY_BYTES_CAP <= 1 << 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_cannot_be_reserved_is_done_without() {
        let engine = HostEngine::new(EngineOptions {
            instances: 2_000_000_000,
            ..EngineOptions::default()
        })
        .expect("on demand");
        assert!(!engine.pooled());
        assert!(
            HostEngine::new(EngineOptions::default())
                .expect("pool")
                .pooled()
        );
    }

    #[test]
    fn pooled_and_on_demand_engines_share_compiled_code() {
        let one = HostEngine::new(EngineOptions::default()).expect("pool");
        let many = HostEngine::new(EngineOptions {
            instances: 100,
            ..EngineOptions::default()
        })
        .expect("pool");
        assert_eq!(
            super::super::cache::compatibility(one.engine()),
            super::super::cache::compatibility(many.engine())
        );
    }
}
