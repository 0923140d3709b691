//! A TCP socket's addresses, options and shutdown; see [`super::tcp`].

use nexus_types::SocketAddr;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::IpAddressFamily;
use wasmtime_wasi::p2::bindings::sockets::tcp::{HostTcpSocket, ShutdownType};

use super::Run;
use super::tcp::call_tcp;
use super::tcp_model::{OPTIONS, State, kept};
use super::world::Told;

impl Run {
    /// `local-address`, `remote-address`, `is-listening` and `address-family`.
    pub(super) fn addresses(&mut self, number: usize) {
        let model = self.tcp[number].model.clone();
        let told = call_tcp!(self, number, local_address);
        self.check(&("local-address", number), &told, &model.local_address());
        if let Ok(local) = told {
            let local = SocketAddr::from(local);
            assert!(local.port() != 0 && local.is_ipv6() == model.v6, "{local}");
            let kept = model.local.is_none_or(|before| before == local);
            assert!(kept, "{local} was {:?}", model.local);
            let asked = model.asked.is_none_or(|asked| {
                let ip = asked.ip().is_unspecified() || asked.ip() == local.ip();
                ip && (asked.port() == 0 || asked.port() == local.port())
            });
            assert!(asked, "{local} was asked for as {:?}", model.asked);
            self.tcp[number].model.local = Some(local);
        }
        let told = call_tcp!(self, number, remote_address);
        self.check(&("remote-address", number), &told, &model.remote_address());
        if let (Ok(remote), Some((index, end))) = (told, model.connection) {
            assert_eq!(
                SocketAddr::from(remote),
                self.connections[index].addresses[1 - end]
            );
        }
        let handle = || Resource::new_borrow(self.tcp[number].handle);
        let (handle, again) = (handle(), handle());
        let (mut view, _) = self.world.app(model.side);
        let listening = HostTcpSocket::is_listening(&mut view, handle).expect("no trap");
        assert_eq!(
            listening,
            model.state == State::Listening && model.started.is_none()
        );
        let family = HostTcpSocket::address_family(&mut view, again).expect("no trap");
        assert_eq!(family == IpAddressFamily::Ipv6, model.v6);
    }

    pub(super) fn set_backlog(&mut self, number: usize, value: u64) {
        let allowed = self.tcp[number].model.set_backlog(value);
        let told = call_tcp!(self, number, set_listen_backlog_size, value);
        self.check(&("set-listen-backlog-size", number, value), &told, &allowed);
        if told.is_ok() {
            self.tcp[number].model.backlog = Some(value);
        }
    }

    pub(super) fn set_option(&mut self, number: usize, option: usize, value: u64) {
        // As wide as the option is.
        let value = match option {
            0 => value & 1,
            3 => value & 0xffff_ffff,
            4 => value & 0xff,
            _ => value,
        };
        let allowed = self.tcp[number].model.set_option(option, value);
        let narrow = || u8::try_from(value).unwrap_or(u8::MAX);
        let told = match option {
            0 => call_tcp!(self, number, set_keep_alive_enabled, value == 1),
            1 => call_tcp!(self, number, set_keep_alive_idle_time, value),
            2 => call_tcp!(self, number, set_keep_alive_interval, value),
            3 => call_tcp!(
                self,
                number,
                set_keep_alive_count,
                u32::try_from(value).unwrap_or(u32::MAX)
            ),
            4 => call_tcp!(self, number, set_hop_limit, narrow()),
            5 => call_tcp!(self, number, set_receive_buffer_size, value),
            _ => call_tcp!(self, number, set_send_buffer_size, value),
        };
        self.check(&("set", option, number, value), &told, &allowed);
        if told.is_ok() {
            self.tcp[number].model.options[option] = kept(option, value);
        }
    }

    pub(super) fn get_options(&mut self, number: usize) {
        for option in 0..OPTIONS {
            let told: Told<u64> = match option {
                0 => call_tcp!(self, number, keep_alive_enabled).map(u64::from),
                1 => call_tcp!(self, number, keep_alive_idle_time),
                2 => call_tcp!(self, number, keep_alive_interval),
                3 => call_tcp!(self, number, keep_alive_count).map(u64::from),
                4 => call_tcp!(self, number, hop_limit).map(u64::from),
                5 => call_tcp!(self, number, receive_buffer_size),
                _ => call_tcp!(self, number, send_buffer_size),
            };
            let model = &mut self.tcp[number].model;
            let (allowed, before) = (model.get_option(), model.options[option]);
            if let Ok(value) = told {
                assert!(option == 0 || value > 0, "option {option} of {number} is 0");
                // What was rounded or clamped stays as it is.
                model.options[option] = Some(value);
                assert!(
                    before.is_none_or(|before| before == value),
                    "option {option} of {number} was {before:?} and is {value}"
                );
            }
            self.check(&("get", option, number), &told, &allowed);
        }
    }

    pub(super) fn shutdown(&mut self, number: usize, how: u8) {
        let allowed = self.tcp[number].model.shutdown();
        let how = [
            ShutdownType::Receive,
            ShutdownType::Send,
            ShutdownType::Both,
        ][usize::from(how) % 3];
        let told = call_tcp!(self, number, shutdown, how);
        self.check(&("shutdown", number, how), &told, &allowed);
        if told.is_ok() {
            self.quiet = false;
            if let Some((index, end)) = self.tcp[number].model.connection {
                let end = &mut self.connections[index].ends[end];
                end.stopped |= matches!(how, ShutdownType::Receive | ShutdownType::Both);
                end.finished |= matches!(how, ShutdownType::Send | ShutdownType::Both);
            }
        }
    }
}

/// Values at the bounds of things, and any.
pub(super) fn value(byte: &mut impl FnMut() -> u8) -> u64 {
    let choice = byte();
    let any = u64::from(byte());
    match choice % 8 {
        0 => 0,
        1 => 1,
        2 => any,
        3 => any * 1_000_000_000,
        4 => any * 1_000_000_007,
        5 => u64::MAX,
        6 => 32_767_000_000_000 + any,
        _ => any << 9,
    }
}
