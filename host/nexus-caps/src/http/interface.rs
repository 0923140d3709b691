//! What the WIT says, in the client's words and back.

use std::time::Duration;

use bytes::Bytes;
use futures::channel::oneshot;
use nexus_node::NetError;
use nexus_services::http::{
    self as client, Coding, Error as Failed, Options, Redirects, Request, RequestBody, Timeouts,
};
use wasmtime::component::{Accessor, FutureReader, StreamReader};

use super::body::{Incoming, outgoing};
use super::{Http, HttpCtxView};
use crate::bindings::nexus::error::types::{self, Error};
use crate::bindings::nexus::net::http;
use crate::error::Failure;

impl types::Host for HttpCtxView<'_> {
    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<Error> {
        failure.told()
    }
}

impl http::Host for HttpCtxView<'_> {}

impl<T: Send> http::HostWithStore<T> for Http {
    async fn send(
        accessor: &Accessor<T, Self>,
        asked: http::Request,
    ) -> Result<http::Response, Failure> {
        let headers = asked.headers.iter();
        let headers = client::read_headers(headers.map(|field| (&field.name, &field.value)))
            .map_err(|fault| failure(fault.into()))?;
        let body = match asked.body {
            http::Body::Empty => RequestBody::Empty,
            http::Body::Bytes(bytes) => RequestBody::Whole(Bytes::from(bytes)),
            http::Body::Streamed(streamed) => {
                let (taking, sending) = outgoing();
                let data = streamed.data;
                accessor.with(|access| data.pipe(access, taking))?;
                RequestBody::Stream(Box::pin(sending), streamed.length)
            }
        };
        let request = Request {
            method: asked.method,
            url: asked.url,
            headers,
            body,
            options: options(&asked.options),
        };
        let sending = accessor.with(|mut access| access.get().ctx.request(request));
        let response = sending.await.map_err(failure)?;
        let fields = response.headers.iter().map(|(name, value)| http::Field {
            name: name.as_str().to_owned(),
            value: value.as_bytes().to_vec(),
        });
        let (sender, receiver) = oneshot::channel();
        let length = response.body.progress().length;
        let (status, url) = (response.status.as_u16(), response.url.as_str().to_owned());
        let headers = fields.collect();
        let incoming = Incoming::new(response.body, sender, |error| told(&error).into());
        let (data, end) = accessor.with(|mut access| -> wasmtime::Result<_> {
            Ok((
                StreamReader::new(&mut access, incoming)?,
                FutureReader::new(&mut access, receiver)?,
            ))
        })?;
        Ok(http::Response {
            status,
            url,
            headers,
            length,
            data,
            end,
        })
    }
}

fn failure(error: Failed) -> Failure {
    Failure::Error(told(&error))
}

/// What an app is told of a request that failed. No text of it is the request's or the server's.
fn told(error: &Failed) -> NetError {
    NetError {
        code: error.code(),
        reason: error.reason(),
        why: error.why(),
        cause: None,
    }
}

fn options(asked: &http::Options) -> Options {
    let millis = |asked: Option<u32>, default| {
        asked.map_or(default, |millis| Duration::from_millis(millis.into()))
    };
    let (times, longest) = (&asked.timeouts, Timeouts::LONGEST);
    Options {
        redirects: match asked.redirects {
            http::Redirects::Refuse => Redirects::Refuse,
            http::Redirects::Return => Redirects::Return,
            http::Redirects::Follow(most) => Redirects::Follow(most),
        },
        coding: match asked.gzip {
            true => Coding::Gzip,
            false => Coding::Identity,
        },
        retries: asked.retries,
        timeouts: Some(Timeouts {
            connect: millis(times.connect, longest.connect),
            first_byte: millis(times.first_byte, longest.first_byte),
            between_bytes: millis(times.between_bytes, longest.between_bytes),
            total: millis(times.total, longest.total),
            ..longest
        }),
    }
}
