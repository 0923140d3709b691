//! A direction that became a stream has no calls any more, and becomes no second stream; the other direction
//! is not touched.

use nexus_sdk::__private::raw::nexus::net::types::{Destination, IpAddress};
use nexus_sdk::__private::raw::{nexus::net::tcp_connect, wit_stream};
use nexus_sdk::ErrorCode;
use nexus_sdk::task::join;
use probes::{Outcome, failure, listener, same, success};

async fn run() -> Outcome {
    let listener = listener().await?;
    let (near, far) = join(
        tcp_connect::connect(
            Destination::Address(IpAddress::Ipv4((127, 0, 0, 1))),
            listener.local_addr().port(),
        ),
        listener.accept(),
    )
    .await;
    let near = near.map_err(|error| error.why)?;
    let mut far = success(far, "accept")?;

    let _incoming = near.receive().map_err(|error| error.why)?;
    failure(
        near.read(1).await.map_err(Into::into),
        ErrorCode::InvalidState,
        "read beside a stream",
    )?;
    failure(
        near.receive().map_err(Into::into),
        ErrorCode::InvalidState,
        "a second incoming stream",
    )?;

    near.write(b"call".to_vec())
        .await
        .map_err(|error| error.why)?;
    let (mut writer, reader) = wit_stream::new::<u8>();
    let _end = near.send(reader).map_err(|error| error.why)?;
    failure(
        near.write(b"call".to_vec()).await.map_err(Into::into),
        ErrorCode::InvalidState,
        "write beside a stream",
    )?;
    let (_, second) = wit_stream::new::<u8>();
    failure(
        near.send(second).map_err(Into::into),
        ErrorCode::InvalidState,
        "a second outgoing stream",
    )?;

    let rest = writer.write_all(b"stream".to_vec()).await;
    same(rest.len(), 0, "bytes not taken")?;
    drop(writer);
    let all = success(far.read_to_end(64).await, "read")?;
    same(all.as_slice(), b"callstream", "what arrived")
}

nexus_sdk::main!(run);
