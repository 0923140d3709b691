//! What goes over connections: bytes in order, ends, pollables, and what is left when a socket is dropped.

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket;
use wasmtime_wasi_io::poll::subscribe;

use super::Run;
use super::tcp_model::{Connection, Started, State};
use super::world::{Told, Word};

/// What a stream says of a connection that is gone.
fn is_reset<T>(told: &Told<T>) -> bool {
    super::says(
        told,
        &[ErrorCode::ConnectionReset, ErrorCode::ConnectionAborted],
    )
}

/// Whether a pollable and what it is of say the same.
fn agrees(quiet: bool, ready: bool, blocks: bool) -> bool {
    if ready { !blocks } else { blocks || !quiet }
}

impl Run {
    fn end(&self, number: usize) -> (usize, usize, &Connection) {
        let (index, end) = self.tcp[number].model.connection.expect("it has streams");
        (index, end, &self.connections[index])
    }

    pub(super) fn read(&mut self, number: usize, choice: u8) {
        let Some(stream) = self.tcp[number].input.as_ref().map(Resource::rep) else {
            return;
        };
        let side = self.tcp[number].model.side;
        let size = usize::from(choice) * if choice & 1 == 0 { 1 } else { 300 };
        let stream = Resource::<wasmtime_wasi_io::streams::DynInputStream>::new_borrow(stream);
        let read = self
            .world
            .table(side)
            .get_mut(&stream)
            .expect("it is there")
            .read(size);
        let told = self.world.said(side, read);
        let (index, end, connection) = self.end(number);
        let (own, may_reset) = (connection.ends[end], connection.may_reset(end));
        let over = self.tcp[number].model.input_over;
        let shown = told.as_ref().map(Bytes::len).map_err(|word| *word);
        let allowed = match &told {
            Ok(bytes) if bytes.is_empty() => {
                let waits =
                    connection.unread(end) > 0 || connection.ends[1 - end].finished || own.stopped;
                size == 0 || may_reset || !self.quiet || !waits
            }
            Ok(bytes) => {
                bytes.len() <= size && !own.stopped && bytes.len() as u64 <= connection.unread(end)
            }
            Err(Word::Closed) => over || own.stopped || connection.is_read(end),
            Err(_) => may_reset && is_reset(&told),
        };
        let wild = connection.wild;
        self.expect(
            &("read", number, size),
            &shown,
            (allowed && !(over && told.is_ok())) || wild,
        );
        match told {
            Ok(bytes) if !wild => {
                for (at, byte) in (own.read..).zip(&bytes) {
                    let sent = Connection::byte(index, 1 - end, at);
                    assert_eq!(*byte, sent, "byte {at} that {number} read");
                }
                self.connections[index].ends[end].read += bytes.len() as u64;
                // What was full may have room again.
                self.quiet &= bytes.is_empty();
            }
            Ok(_) => {}
            Err(_) => self.tcp[number].model.input_over = true,
        }
    }

    /// What may be written, if there is a stream to write to.
    pub(super) fn check_write(&mut self, number: usize) {
        let Some(stream) = self.output(number) else {
            return;
        };
        let side = self.tcp[number].model.side;
        let checked = self
            .world
            .table(side)
            .get_mut(&stream)
            .expect("it is there")
            .check_write();
        let told = self.world.said(side, checked);
        let (_, end, connection) = self.end(number);
        let peer = &connection.ends[1 - end];
        let over = self.tcp[number].model.output_over;
        let empty = peer.read == connection.ends[end].written || peer.stopped;
        let allowed = connection.wild
            || match &told {
                Ok(0) => !(self.quiet && empty) || connection.may_reset(end),
                Ok(_) => !over && !connection.ends[end].finished,
                Err(Word::Closed) => over || connection.ends[end].finished,
                Err(_) => connection.may_reset(end) && is_reset(&told),
            };
        self.expect(&("check-write", number), &told, allowed);
        let model = &mut self.tcp[number].model;
        model.permitted = told.unwrap_or(0) as u64;
        model.output_over |= told.is_err();
    }

    pub(super) fn write(&mut self, number: usize, length: u64) {
        let Some(stream) = self.output(number) else {
            return;
        };
        let (index, end, connection) = self.end(number);
        let (before, own) = (connection.may_reset(end), connection.ends[end]);
        let bytes: Vec<_> = (own.written..own.written + length)
            .map(|at| Connection::byte(index, end, at))
            .collect();
        let model = &self.tcp[number].model;
        let (side, permitted, over) = (model.side, model.permitted, model.output_over);
        let written = self
            .world
            .table(side)
            .get_mut(&stream)
            .expect("it is there")
            .write(bytes.into());
        let told = self.world.said(side, written);
        let wild = self.connections[index].wild;
        // "Writing more than permitted will trap."
        let allowed = match &told {
            Ok(()) => !over && length <= permitted && (length == 0 || !own.finished),
            Err(Word::Trap) => !over && length > permitted,
            Err(Word::Closed) => over || own.finished,
            Err(_) => before && is_reset(&told),
        };
        self.expect(&("write", number, length), &told, allowed || wild);
        self.quiet = false;
        match told {
            Ok(()) => {
                self.connections[index].ends[end].written += length;
                self.tcp[number].model.permitted -= length;
            }
            Err(Word::Trap) => {}
            Err(_) => self.tcp[number].model.output_over = true,
        }
    }

    pub(super) fn flush(&mut self, number: usize) {
        let Some(stream) = self.output(number) else {
            return;
        };
        let side = self.tcp[number].model.side;
        let flushed = self
            .world
            .table(side)
            .get_mut(&stream)
            .expect("it is there")
            .flush();
        let told = self.world.said(side, flushed);
        let (_, end, connection) = self.end(number);
        let ended = self.tcp[number].model.output_over || connection.ends[end].finished;
        let allowed = match told {
            Ok(()) => true,
            Err(Word::Closed) => ended,
            Err(_) => connection.may_reset(end) && is_reset(&told),
        };
        self.expect(&("flush", number), &told, allowed);
    }

    fn output(
        &self,
        number: usize,
    ) -> Option<Resource<wasmtime_wasi_io::streams::DynOutputStream>> {
        let stream = self.tcp[number].output.as_ref()?;
        Some(Resource::new_borrow(stream.rep()))
    }

    /// Pollables of a socket and of its streams: one that is ready means that what it is of will not say
    /// `would-block`, or nothing; one that is not, while nothing is on its way, that it will.
    pub(super) fn subscribe_tcp(&mut self, number: usize) {
        let model = self.tcp[number].model.clone();
        let handle = self.tcp[number].resource();
        let (mut view, _) = self.world.app(model.side);
        let pollable = HostTcpSocket::subscribe(&mut view, handle).expect("no trap");
        let ready = self.world.is_ready(model.side, pollable);
        self.calls.note(format!("subscribe {number}: {ready}"));
        match (model.state, model.started) {
            (State::Connecting, Some(Started::Connect)) => {
                self.would_block(number, ready, Self::finish_connect);
            }
            (State::Listening, None) => self.would_block(number, ready, Self::accept),
            _ => assert!(ready, "nothing is in progress that could be waited for"),
        }
        let quiet = self.quiet;
        if let Some(input) = &self.tcp[number].input {
            let input = Resource::new_borrow(input.rep());
            let table = self.world.table(model.side);
            let pollable = subscribe::<wasmtime_wasi_io::streams::DynInputStream>(table, input);
            let ready = self.world.is_ready(model.side, pollable.expect("room"));
            self.calls
                .note(format!("subscribe to input of {number}: {ready}"));
            self.read(number, 2);
            let said = self.calls.last();
            assert!(agrees(quiet, ready, said.ends_with("Ok(0)")), "{said}");
        }
        let quiet = self.quiet;
        if let Some(output) = self.output(number) {
            let table = self.world.table(model.side);
            let pollable = subscribe(table, output);
            let ready = self.world.is_ready(model.side, pollable.expect("room"));
            self.calls
                .note(format!("subscribe to output of {number}: {ready}"));
            self.check_write(number);
            let said = self.calls.last();
            assert!(agrees(quiet, ready, said.ends_with("Ok(0)")), "{said}");
        }
    }

    /// Makes a call of which a pollable says whether it would block.
    fn would_block(&mut self, number: usize, ready: bool, call: fn(&mut Self, usize)) {
        let (before, quiet) = (self.calls.len(), self.quiet);
        call(self, number);
        let said = self.calls.at(before);
        assert!(agrees(quiet, ready, said.contains("would-block")), "{said}");
    }

    pub(super) fn drop_stream(&mut self, number: usize, which: u8) {
        let side = self.tcp[number].model.side;
        if which & 1 == 0 {
            if let Some(stream) = self.tcp[number].input.take() {
                self.calls.note(format!("drop input of {number}"));
                self.world.table(side).delete(stream).expect("it is there");
            }
        } else if let Some(stream) = self.tcp[number].output.take() {
            self.calls.note(format!("drop output of {number}"));
            self.world.table(side).delete(stream).expect("it is there");
        }
    }

    /// "Child" resources first, or it traps and the socket stays.
    pub(super) fn drop_tcp(&mut self, number: usize) {
        let socket = &self.tcp[number];
        let (side, children) = (
            socket.model.side,
            socket.input.is_some() || socket.output.is_some(),
        );
        let handle = Resource::new_own(socket.handle);
        let (mut view, _) = self.world.app(side);
        let dropped = HostTcpSocket::drop(&mut view, handle);
        self.calls
            .note(format!("drop {number}: {}", dropped.is_ok()));
        assert_eq!(dropped.is_ok(), !children);
        if children {
            return;
        }
        self.quiet = false;
        if self.tcp[number].model.state == State::Listening {
            self.stop_listening(number);
        }
        let model = &mut self.tcp[number].model;
        model.dropped = true;
        let connected = model.state != State::Closed;
        if let Some((index, end)) = model.connection
            && connected
        {
            let connecting = model.state == State::Connecting;
            let connection = &mut self.connections[index];
            let end = &mut connection.ends[end];
            (end.finished, end.stopped, end.dropped) = (true, true, true);
            if connecting {
                (connection.must, connection.reset) = (false, true);
            }
        }
    }
}
