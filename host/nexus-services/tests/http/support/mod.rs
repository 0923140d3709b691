//! A world for the client: tasks in turn, a clock that jumps, servers that follow a script.

pub(crate) mod net;
pub(crate) mod tls;
pub(crate) mod world;

pub(crate) use net::Fake;
pub(crate) use world::{Script, World};

use nexus_services::http::{Error, Options, Request, RequestBody, Response};

/// Who asks, where a test does not care.
pub(crate) const APP: u64 = 1;

/// A request with a whole body.
pub(crate) fn post(url: &str, body: &[u8]) -> Request {
    let mut request = Request::new("POST", url);
    request.body = RequestBody::Whole(bytes::Bytes::copy_from_slice(body));
    request
}

/// A GET under other options.
pub(crate) fn get_with(url: &str, options: Options) -> Request {
    let mut request = Request::new("GET", url);
    request.options = options;
    request
}

/// Reads a body to its end.
pub(crate) async fn body(response: Response<Fake>) -> Result<Vec<u8>, Error> {
    use http_body_util::BodyExt;
    let mut body = response.body;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}
