//! `wasi:http/types`, 0.2 and 0.3: requests, responses and fields as values. Base WASI: who has only these can
//! serve, and send nothing.
//!
//! What an app sends goes through [`Hooks::send_request`] and nowhere else: wasmtime-wasi-http is built without a
//! sender of its own, so nothing can fall through to the kernel's sockets.

use std::sync::{Arc, LazyLock};

use http::{HeaderName, Request, Response, header};
use nexus_types::limits;
use wasmtime::component::Linker;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttp,
    WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView, p2, p3,
};

use super::state::AppState;

/// What an app's store holds for `wasi:http`.
pub(super) struct Http {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

impl Default for Http {
    fn default() -> Self {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(limits::HTTP_FIELDS_BYTES as usize);
        Self { ctx, hooks: Hooks }
    }
}

/// Where wasmtime's `wasi:http` asks the host.
struct Hooks;

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
        _request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _sent: Later<()>,
    ) -> Later<(Response<WasiBody>, Later<()>)> {
        Box::new(async { Err(Error::HttpRequestDenied) })
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
        let filter = Hooks.forbidden_header_filter();
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
            assert!(Hooks.is_forbidden_header(&name), "{name}");
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

    /// Goal: nothing is sent where no client is linked. Method: the one way out, asked.
    #[test]
    fn reject_sending_without_a_client() {
        use futures::FutureExt as _;
        use http_body_util::{BodyExt as _, Empty};
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let sent = Hooks.send_request(Request::new(body), None, Box::new(async { Ok(()) }));
        let answer = std::pin::Pin::from(sent).now_or_never();
        assert!(matches!(answer, Some(Err(Error::HttpRequestDenied))));
    }
}
