//! `wasi:http/types`, 0.2 and 0.3: requests, responses and fields as values. Base WASI: who has only these can
//! serve, and send nothing.
//!
//! What an app sends goes through `outgoing.rs` and nowhere else: wasmtime-wasi-http is built without a sender of its
//! own, so nothing can fall through to the kernel's sockets. Its `handler` 0.2 and `client` 0.3 are linked where
//! `network.http.request` is granted.

use std::sync::{Arc, LazyLock};

use http::{HeaderName, Request, Response, header};
use nexus_caps::HttpCtx;
use nexus_types::limits;
use wasmtime::component::Linker;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttp,
    WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView, p2, p3,
};

use super::outgoing;
use super::state::AppState;

/// What an app's store holds for `wasi:http`.
pub(super) struct Http {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

impl Http {
    pub(super) fn new(client: Arc<HttpCtx>) -> Self {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(limits::HTTP_FIELDS_BYTES as usize);
        Self {
            ctx,
            hooks: Hooks { client },
        }
    }
}

/// Where wasmtime's `wasi:http` asks the host.
struct Hooks {
    client: Arc<HttpCtx>,
}

/// The fields that belong to a connection and not to a message, so that neither side of an app sees or sets those
/// of the other (RFC 9110 section 7.6.1); wasmtime's list has all but this one.
fn is_forbidden(name: &HeaderName) -> bool {
    *name == header::TE || DEFAULT_FORBIDDEN_HEADERS.contains(name)
}

type Outcome<T> = Result<T, Error>;
type Later<T> = Box<dyn Future<Output = Outcome<T>> + Send>;

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        static FILTER: LazyLock<ForbiddenHeaderFilter> = LazyLock::new(|| Arc::new(is_forbidden));
        FILTER.clone()
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _read: Later<()>,
    ) -> Later<(Response<WasiBody>, Later<()>)> {
        let sending = outgoing::send(&self.client, request, options);
        Box::new(async {
            // The connection is driven by who reads the body: there is nothing beside it to be polled.
            let over: Later<()> = Box::new(async { Ok(()) });
            Ok((sending.await?, over))
        })
    }
}

impl WasiHttpView for AppState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (table, http) = self.http_parts();
        WasiHttpCtxView {
            hooks: &mut http.hooks,
            table,
            ctx: &mut http.ctx,
        }
    }
}

/// Links `wasi:http/types@0.2`.
///
/// # Errors
/// The linker has it already.
pub(super) fn link_types_p2(linker: &mut Linker<AppState>) -> wasmtime::Result<()> {
    let options = p2::bindings::http::types::LinkOptions::default();
    p2::bindings::http::types::add_to_linker::<AppState, WasiHttp>(linker, &options, AppState::http)
}

/// Links `wasi:http/types@0.3`.
///
/// # Errors
/// The linker has it already.
pub(super) fn link_types_p3(linker: &mut Linker<AppState>) -> wasmtime::Result<()> {
    p3::bindings::http::types::add_to_linker::<AppState, WasiHttp>(linker, AppState::http)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what belongs to a connection is neither seen nor set by an app, and what belongs to a message is.
    /// Method: each name, asked both ways.
    #[test]
    fn reject_fields_of_the_connection() {
        let filter: ForbiddenHeaderFilter = Arc::new(is_forbidden);
        for name in [
            "host",
            "connection",
            "keep-alive",
            "te",
            "transfer-encoding",
            "upgrade",
            "proxy-connection",
            "proxy-authenticate",
            "proxy-authorization",
        ] {
            let name = HeaderName::from_static(name);
            assert!(filter(&name), "{name}");
        }
        for name in [
            "content-length",
            "authorization",
            "cookie",
            "x-forwarded-for",
        ] {
            assert!(
                !filter(&HeaderName::from_bytes(name.as_bytes()).expect("a name")),
                "{name}"
            );
        }
    }
}
