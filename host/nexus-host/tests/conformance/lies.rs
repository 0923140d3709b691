//! A function replaced by one that does nothing and says what the simplest stub would: that it went well.

use std::iter;

use nexus_host::runtime::state::AppState;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{
    FutureReader, Linker, Resource, ResourceAny, ResourceType, StreamReader, Type, Val,
};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::p2::bindings::sockets as p2;
use wasmtime_wasi::p3::bindings::sockets as p3;
use wasmtime_wasi::p3::bindings::sockets::types::{ErrorCode, TcpSocket};
use wasmtime_wasi_io::IoView as _;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use crate::world::Guest;

/// What a stub of a function does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lie {
    /// It went well: zero, false, the first case, nothing; where that cannot be made up, since it is a resource, that
    /// it is not supported.
    Nothing,
    /// A pollable that is ready at once, whatever happens.
    AlwaysReady,
    /// A pollable that is never ready.
    NeverReady,
}

impl Lie {
    /// Which one this function must be told apart from.
    pub(crate) fn of(function: &str) -> Self {
        // These are ready whenever they are asked, by right: a UDP socket binds at once, and sends at once.
        const READY: [&str; 2] = [
            "[method]udp-socket.subscribe",
            "[method]outgoing-datagram-stream.subscribe",
        ];
        if READY.contains(&function) {
            Self::NeverReady
        } else if function.ends_with(".subscribe") {
            Self::AlwaysReady
        } else {
            Self::Nothing
        }
    }
}

struct Always;

#[async_trait]
impl Pollable for Always {
    async fn ready(&mut self) {}
}

struct Never;

#[async_trait]
impl Pollable for Never {
    async fn ready(&mut self) {
        std::future::pending().await
    }
}

/// A linker in which this function is a stub.
pub(crate) fn linker(guest: &Guest, interface: &str, function: &str) -> Linker<AppState> {
    let mut linker = guest.linker();
    linker.allow_shadowing(true);
    let engine = linker.engine().clone();
    let component = guest.component.component_type();
    let item = component.get_import(&engine, interface).map(|it| it.ty);
    let Some(ComponentItem::ComponentInstance(instance)) = item else {
        panic!("{interface} is no interface");
    };
    let item = instance.get_export(&engine, function).map(|it| it.ty);
    let Some(ComponentItem::ComponentFunc(ty)) = item else {
        panic!("{interface} has no {function}");
    };
    let mut at = linker.instance(interface).expect("it is linked");
    let linked = match (function, Lie::of(function)) {
        // "returns once the full contents of the stream are transmitted"
        ("[method]tcp-socket.send", _) => at.func_wrap(
            function,
            |mut store: StoreContextMut<'_, AppState>,
             (_, mut data): (Resource<TcpSocket>, StreamReader<u8>)| {
                data.close(&mut store)?;
                Ok((FutureReader::new(store, fine())?,))
            },
        ),
        // "a `stream` of data" that has none.
        ("[method]tcp-socket.receive", _) => at.func_wrap(
            function,
            |mut store: StoreContextMut<'_, AppState>, (_,): (Resource<TcpSocket>,)| {
                let data = StreamReader::<u8>::new(&mut store, iter::empty())?;
                Ok(((data, FutureReader::new(store, fine())?),))
            },
        ),
        // "a stream of new inbound connections" that has none.
        ("[method]tcp-socket.listen", _) => at.func_wrap(
            function,
            |store: StoreContextMut<'_, AppState>, (_,): (Resource<TcpSocket>,)| {
                let comes = StreamReader::<Resource<TcpSocket>>::new(store, iter::empty())?;
                Ok((Ok::<_, ErrorCode>(comes),))
            },
        ),
        ("instance-network", _) => at.func_new(function, |store, _, _, out| {
            no_network(store, out).map_err(broken)
        }),
        (_, Lie::Nothing) if ty.async_() => {
            at.func_new_concurrent(function, |access, ty, args, out| {
                Box::pin(async move {
                    access
                        .with(|mut store| done_with(&mut store, args))
                        .map_err(broken)?;
                    nothing(&ty, out).map_err(broken)
                })
            })
        }
        (_, Lie::Nothing) => at.func_new(function, |store, ty, args, out| {
            done_with(store, args).map_err(broken)?;
            nothing(&ty, out).map_err(broken)
        }),
        (_, Lie::AlwaysReady) => at.func_new(function, |mut store, _, args, out| {
            done_with(&mut store, args).map_err(broken)?;
            pollable(store, Always, out).map_err(broken)
        }),
        (_, Lie::NeverReady) => at.func_new(function, |mut store, _, args, out| {
            done_with(&mut store, args).map_err(broken)?;
            pollable(store, Never, out).map_err(broken)
        }),
    };
    linked.unwrap_or_else(|error| panic!("{function}: {error:#}"));
    linker
}

async fn fine() -> wasmtime::Result<Result<(), ErrorCode>> {
    Ok(Ok(()))
}

/// Gives back what was borrowed for the call.
fn done_with(mut store: impl AsContextMut, args: &[Val]) -> wasmtime::Result<()> {
    for arg in args {
        if let Val::Resource(resource) = arg {
            give_back(&mut store, *resource)?;
        }
    }
    Ok(())
}

/// `ResourceAny::resource_drop` is not for stores of this kind; a typed handle that was borrowed needs no drop.
fn give_back(mut store: impl AsContextMut, resource: ResourceAny) -> wasmtime::Result<()> {
    macro_rules! any_of {
        ($($of:ty),*) => {
            $(
                if resource.ty() == ResourceType::host::<$of>() {
                    resource.try_into_resource::<$of>(&mut store)?;
                    return Ok(());
                }
            )*
        };
    }
    any_of!(
        p2::network::Network,
        p2::tcp::TcpSocket,
        p2::udp::UdpSocket,
        p2::udp::IncomingDatagramStream,
        p2::udp::OutgoingDatagramStream,
        p2::ip_name_lookup::ResolveAddressStream,
        TcpSocket,
        p3::types::UdpSocket
    );
    Err(wasmtime::Error::msg("a resource of another type"))
}

/// A handle on a network that does not exist.
fn no_network(store: StoreContextMut<'_, AppState>, out: &mut [Val]) -> wasmtime::Result<()> {
    let none = Resource::<p2::network::Network>::new_own(u32::MAX);
    out[0] = Val::Resource(none.try_into_resource_any(store)?);
    Ok(())
}

/// An error in a stub is no lie: whoever sees it must not think that a probe has noticed something.
pub(crate) const BROKEN: &str = "the stub itself is broken";

fn broken(error: wasmtime::Error) -> wasmtime::Error {
    error.context(BROKEN)
}

fn pollable(
    mut store: StoreContextMut<'_, AppState>,
    made: impl Pollable,
    out: &mut [Val],
) -> wasmtime::Result<()> {
    let table = store.data_mut().table();
    let made = table.push(made)?;
    let pollable: Resource<DynPollable> = subscribe(table, made)?;
    out[0] = Val::Resource(pollable.try_into_resource_any(store)?);
    Ok(())
}

/// The results of a function that did nothing.
fn nothing(ty: &ComponentFunc, out: &mut [Val]) -> wasmtime::Result<()> {
    for (result, out) in ty.results().zip(out) {
        *out = made_up(&result)
            .ok_or_else(|| wasmtime::Error::msg("a result that cannot be made up"))?;
    }
    Ok(())
}

/// The simplest value of a type; none: it cannot be made up.
fn made_up(ty: &Type) -> Option<Val> {
    let payload = |ty: Option<Type>| match ty {
        None => Some(None),
        Some(ty) => made_up(&ty).map(|value| Some(Box::new(value))),
    };
    Some(match ty {
        Type::Bool => Val::Bool(false),
        Type::U8 => Val::U8(0),
        Type::U16 => Val::U16(0),
        Type::U32 => Val::U32(0),
        Type::U64 => Val::U64(0),
        Type::String => Val::String(String::new()),
        Type::List(_) => Val::List(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Enum(ty) => Val::Enum(ty.names().next()?.to_owned()),
        Type::Variant(ty) => {
            let first = ty.cases().next()?;
            Val::Variant(first.name.to_owned(), payload(first.ty)?)
        }
        Type::Tuple(ty) => Val::Tuple(ty.types().map(|ty| made_up(&ty)).collect::<Option<_>>()?),
        Type::Record(ty) => {
            let field = |field: wasmtime::component::types::Field<'_>| {
                Some((field.name.to_owned(), made_up(&field.ty)?))
            };
            Val::Record(ty.fields().map(field).collect::<Option<_>>()?)
        }
        Type::Result(ty) => Val::Result(match payload(ty.ok()) {
            Some(fine) => Ok(fine),
            None => Err(Some(Box::new(not_supported(&ty.err()?)?))),
        }),
        // A resource, a stream, a future.
        _ => return None,
    })
}

fn not_supported(ty: &Type) -> Option<Val> {
    const WORD: &str = "not-supported";
    match ty {
        Type::Enum(ty) => ty
            .names()
            .any(|name| name == WORD)
            .then(|| Val::Enum(WORD.to_owned())),
        Type::Variant(ty) => {
            let has = ty
                .cases()
                .any(|case| case.name == WORD && case.ty.is_none());
            has.then(|| Val::Variant(WORD.to_owned(), None))
        }
        _ => None,
    }
}
