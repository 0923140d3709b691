//! `wasi:clocks/monotonic-clock`: the clock of the app's machine.

use core::time::Duration;

use super::super::caller::Caller;

pub(crate) fn now() -> u64 {
    Caller::current("time::now").shell.now().as_nanos()
}

pub(crate) async fn wait_for(how_long: u64) {
    let caller = Caller::current("time::sleep");
    let deadline = caller.shell.now() + Duration::from_nanos(how_long);
    caller.sleep_until(deadline).await;
}
