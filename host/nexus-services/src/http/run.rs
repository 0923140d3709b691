//! A request under way: hop after hop, each judged, resolved, connected and asked, and tried again where that may be.

use http::HeaderMap;
use nexus_types::Duration;

use super::body::{ResponseBody, Source};
use super::client::Client;
use super::connection::Connection;
use super::error::{Error, Phase, SendFault};
use super::exchange::{self, Failed};
use super::guard::Stream;
use super::gzip::Gunzip;
use super::limits::{Limits, Timeouts};
use super::network::{Caller, ConnectError, Grant, Hop, Network, Refusal};
use super::pool::Key;
use super::request::{Checked, Options, Redirects, RequestBody};
use super::response::Response;
use super::send::SendBody;
use super::time::{Deadline, within};
use super::{Method, Scheme, headers, redirect, retry};

/// How often the policy may change while a connection is being opened, before the request ends as revoked.
const CHANGES: usize = 3;

/// One request under way.
pub(super) struct Run<'a, N: Network> {
    pub(super) client: &'a Client<N>,
    pub(super) caller: Caller,
    pub(super) options: Options,
    pub(super) timeouts: Timeouts,
    pub(super) total: Deadline,
    /// How long it waited for its turn, which counts as connecting.
    pub(super) waited: Duration,
}

/// A response's head, and what its body is read from.
struct Answer<C> {
    status: http::StatusCode,
    headers: HeaderMap,
    source: Source<C>,
    length: Option<u64>,
    /// The body that was sent, if it can be sent again.
    again: Option<RequestBody>,
}

impl<N: Network> Run<'_, N> {
    fn network(&self) -> &N {
        &self.client.network
    }

    /// A deadline `wait` from now.
    fn by(&self, wait: Duration, phase: Phase) -> Deadline {
        let at = self.network().now() + wait;
        Deadline { at, phase }.or(self.total)
    }

    /// The request, and whatever redirects lead to.
    pub(super) async fn follow(
        &self,
        request: Checked,
        mut grant: Grant,
    ) -> Result<Response<N>, Error> {
        let Checked {
            mut method,
            mut url,
            mut headers,
            mut body,
            ..
        } = request;
        for index in 0.. {
            let hop = Hop {
                index,
                method,
                url: &url,
            };
            if index > 0 {
                grant = self.network().judge(self.caller, hop)?;
            }
            let answer = self.try_again(hop, &mut grant, &headers, body).await?;
            let leads_on = self.options.redirects != Redirects::Return
                && redirect::is_redirect(answer.status, &answer.headers);
            if !leads_on {
                return Ok(Response {
                    status: answer.status,
                    headers: answer.headers,
                    body: ResponseBody::new(
                        self.client.network.clone(),
                        self.client.pool.clone(),
                        answer.source,
                        Limits {
                            timeouts: self.timeouts,
                            ..grant.limits
                        },
                        self.total,
                        answer.length,
                    ),
                    url,
                });
            }
            redirect::may_follow(self.options.redirects, index)?;
            let next = redirect::follow(
                method,
                &url,
                answer.status,
                &answer.headers,
                &mut headers,
                answer.again,
            )?;
            if answer.source.is_over() {
                answer.source.give_back(self.network(), &self.client.pool);
            }
            (method, url, body) = (next.method, next.url, next.body);
        }
        Err(Error::Internal)
    }

    /// One hop, as often as may be.
    async fn try_again(
        &self,
        hop: Hop<'_>,
        grant: &mut Grant,
        headers: &HeaderMap,
        mut body: RequestBody,
    ) -> Result<Answer<N::Carrier>, Error> {
        let retries = if retry::is_idempotent(hop.method) {
            self.options.retries
        } else {
            0
        };
        let mut waits = retry::waits(retries, &self.client.seed);
        loop {
            let again = body.again();
            let (error, read) = match self.attempt(hop, grant, headers, body).await {
                Ok(answer) => return Ok(Answer { again, ..answer }),
                Err(failed) => failed,
            };
            let (Some(again), false, true) = (again, read, retry::is_passing(&error)) else {
                return Err(error);
            };
            let Some(wait) = waits.next() else {
                return Err(error);
            };
            let sleep = self.network().sleep_until(self.network().now() + wait);
            within(self.network(), self.total, sleep).await?;
            body = again;
        }
    }

    /// One hop, once. An error comes with whether anything of a response was read.
    async fn attempt(
        &self,
        hop: Hop<'_>,
        grant: &mut Grant,
        headers: &HeaderMap,
        body: RequestBody,
    ) -> Result<Answer<N::Carrier>, (Error, bool)> {
        let unread = |error: Error| (error, false);
        let body =
            SendBody::new(body, grant.limits.request_body).map_err(|fault| unread(fault.into()))?;
        let mut request =
            exchange::wire_request(hop.method, hop.url, headers, body).map_err(unread)?;
        let mut fresh = false;
        let (response, connection, key) = loop {
            let (mut connection, key) = self.ready(hop, grant, fresh).await.map_err(unread)?;
            let was_used = connection.used;
            let answer = exchange::ask(
                self.network(),
                &mut connection,
                request,
                &self.timeouts,
                self.total,
            )
            .await;
            match answer {
                Ok(response) => break (response, connection, key),
                // It ended while it was idle, and nothing was sent: no retry, but another connection.
                Err(Failed::Unsent(unsent)) if was_used => {
                    request = *unsent;
                    fresh = true;
                }
                Err(Failed::Unsent(_)) => {
                    let fault = connection.wire.fault();
                    return Err(unread(fault.unwrap_or(SendFault::Closed.into())));
                }
                Err(Failed::Sent { error, read }) => return Err((error, read)),
            }
        };
        let (parts, incoming) = response.into_parts();
        let mut headers = parts.headers;
        let bodyless = hop.method == Method::Head || matches!(parts.status.as_u16(), 204 | 304);
        let framing = headers::framing(
            &mut headers,
            bodyless,
            self.options.coding,
            grant.limits.response_body,
        )
        .map_err(|error| (error, true))?;
        headers::detach(&mut headers);
        Ok(Answer {
            status: parts.status,
            headers,
            source: Source {
                connection,
                incoming,
                gunzip: framing.gzip.then(Gunzip::new),
                // hyper would speak 1.0 from then on.
                key: (parts.version == http::Version::HTTP_11).then_some(key),
            },
            length: framing.length.filter(|_| !bodyless),
            again: None,
        })
    }

    /// A connection for `hop`, and under what it may be used again. When the policy changes meanwhile, the hop
    /// is judged again and what was opened is closed.
    async fn ready(
        &self,
        hop: Hop<'_>,
        grant: &mut Grant,
        fresh: bool,
    ) -> Result<(Connection<N::Carrier>, Key), Error> {
        for _ in 0..CHANGES {
            if grant.epoch != self.network().epoch() {
                *grant = self.network().judge(self.caller, hop)?;
            }
            let resolve = self.network().resolve(self.caller, hop, grant);
            let by = self.by(self.timeouts.resolve, Phase::Resolve);
            let address = within(self.network(), by, resolve).await??;
            let key = Key {
                caller: self.caller,
                grant: grant.key,
                scheme: hop.url.scheme(),
                host: hop.url.host().clone(),
                port: hop.url.port(),
                address,
                tls: grant.tls.id(),
                epoch: grant.epoch,
            };
            let pooled = if fresh {
                None
            } else {
                self.client.pool.take(&key, self.network().now())
            };
            let carries = |connection: &Connection<_>| {
                let carrier = &connection.carrier;
                self.network()
                    .carry(self.caller, hop, grant, address, carrier)
            };
            let connection = match pooled.filter(carries) {
                Some(connection) => connection,
                None => self.open(hop, grant, &key).await?,
            };
            if grant.epoch == self.network().epoch() {
                return Ok((connection, key));
            }
        }
        Err(Refusal::revoked().into())
    }

    async fn open(
        &self,
        hop: Hop<'_>,
        grant: &Grant,
        key: &Key,
    ) -> Result<Connection<N::Carrier>, Error> {
        // Only the request itself waited; a redirect has its turn already.
        let waited = if hop.index == 0 {
            self.waited
        } else {
            Duration::ZERO
        };
        let wait = self.timeouts.connect.saturating_sub(waited);
        let connect = async {
            loop {
                let connect = self.network().connect(self.caller, hop, grant, key.address);
                match connect.await {
                    // What the app has idle is nothing it needs more than this.
                    Err(ConnectError::NoCapacity) if self.client.pool.make_room(self.caller) => {}
                    connected => return connected,
                }
            }
        };
        let stream = within(self.network(), self.by(wait, Phase::Connect), connect).await??;
        let carrier = N::carrier(&stream);
        let stream: Box<dyn Stream> = match key.scheme {
            Scheme::Http => Box::new(stream),
            Scheme::Https => {
                let shake = grant.tls.connect(&key.host, stream);
                let by = self.by(self.timeouts.tls, Phase::Tls);
                Box::new(within(self.network(), by, shake).await??)
            }
        };
        Connection::new(stream, carrier).await
    }
}
