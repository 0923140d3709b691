//! `nexus:net/http`: natively there is none. The client is of the host, and needs what no native test has (TLS, a pool);
//! an app's scenarios run it in a simulated world, by `nexus-host test`.

use crate::bindings::nexus::error::types::{Error, ErrorCode};
use crate::bindings::nexus::net::http::{Request, Response};

pub(crate) async fn send(_: Request) -> Result<Response, Error> {
    Err(Error {
        code: ErrorCode::Unavailable,
        reason: "not-simulated".to_owned(),
        why: "a native test has no HTTP client; test requests with scenarios, by `nexus-host test`"
            .to_owned(),
    })
}
