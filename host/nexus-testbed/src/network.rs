//! The two networks of the tests, a TAP interface and a veth pair; each also with its cable cut.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::MutexGuard;

use crate::{Namespace, alone};

/// The address of what is under test.
pub const GUEST_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The same, of IPv6.
pub const GUEST_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);
/// The address of the kernel it talks to.
pub const KERNEL_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The same, of IPv6.
pub const KERNEL_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);

/// The namespaces of one test, which [`alone`] runs in them: its thread is in the near one.
#[derive(Debug)]
pub struct Network {
    near: Namespace,
    far: Option<Namespace>,
    cut: Option<Cut>,
    _alone: MutexGuard<'static, ()>,
}

/// Where a cable is cut: the near end's namespace if it is one of its own, and its interface.
#[derive(Debug)]
struct Cut {
    near: Option<Namespace>,
    interface: &'static str,
}

/// The hardware address of the kernel's interface where the cable is cut.
pub const KERNEL_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

impl Network {
    /// One namespace without an interface.
    pub fn empty() -> Self {
        let alone = alone();
        let near = Namespace::new();
        near.enter();
        Self {
            near,
            far: None,
            cut: None,
            _alone: alone,
        }
    }

    /// A TAP interface nx0 that stays, with the kernel's addresses. Far is near.
    pub fn tap(mtu: usize) -> Self {
        let network = Self::empty();
        network.near.run("ip tuntap add dev nx0 mode tap");
        network.near.run(&format!("ip link set nx0 mtu {mtu}"));
        network.kernel_at("nx0");
        network
    }

    /// The same, cut: [`Network::ends`] are to be joined by the test.
    pub fn tap_cut() -> Self {
        let mut network = Self::empty();
        network.near.run("ip tuntap add dev nx0 mode tap");
        network.near.run("ip link set nx0 up");
        network.kernel_apart();
        network.cut = Some(Cut {
            near: None,
            interface: "nx0",
        });
        network
    }

    /// A veth pair: nx0 near without an address, nx1 far with the kernel's.
    pub fn veth() -> Self {
        let mut network = Self::empty();
        let far = network.far.insert(Namespace::new()).id();
        network.near.run(&format!(
            "ip link add nx0 type veth peer name nx1 netns {far}"
        ));
        network.near.run("ip link set nx0 up");
        network.kernel_at("nx1");
        network
    }

    /// The same, cut: [`Network::ends`] are to be joined by the test.
    pub fn veth_cut() -> Self {
        let mut network = Self::empty();
        let middle = Namespace::new();
        network.near.run(&format!(
            "ip link add nx0 type veth peer name nx1 netns {}",
            middle.id()
        ));
        network.near.run("ip link set nx0 up");
        middle.run("ip link set nx1 up");
        network.kernel_apart();
        network.cut = Some(Cut {
            near: Some(middle),
            interface: "nx1",
        });
        network
    }

    /// A far end that nothing leads to: nx2, a TAP interface of the kernel's. It has a namespace of
    /// its own, since a kernel answers for an address on every interface it has.
    fn kernel_apart(&mut self) {
        let far = self.far.insert(Namespace::new());
        far.run("ip tuntap add dev nx2 mode tap");
        let mac = KERNEL_MAC.map(|byte| format!("{byte:02x}")).join(":");
        far.run(&format!("ip link set nx2 address {mac}"));
        self.kernel_at("nx2");
    }

    /// The two ends of a cut cable, near and far: a namespace, and what `--net` would name.
    ///
    /// # Panics
    /// Where nothing is cut.
    pub fn ends(&self) -> [(&Namespace, String); 2] {
        let cut = self.cut.as_ref().expect("the cable is cut");
        let near = cut.near.as_ref().unwrap_or(&self.near);
        [
            (near, format!("packet:{}", cut.interface)),
            (self.far(), "tap:nx2".to_owned()),
        ]
    }

    /// Gives the far end's interface the kernel's addresses, and brings it up.
    pub fn kernel_at(&self, interface: &str) {
        let far = self.far();
        far.run(&format!("ip addr add {KERNEL_V4}/24 dev {interface}"));
        far.run(&format!("ip addr add {KERNEL_V6}/64 dev {interface} nodad"));
        far.run(&format!("ip link set {interface} up"));
    }

    /// Where the test is.
    pub fn near(&self) -> &Namespace {
        &self.near
    }

    /// Where the kernel is that it talks to.
    pub fn far(&self) -> &Namespace {
        self.far.as_ref().unwrap_or(&self.near)
    }
}
