//! `world.toml`: which apps run on which nodes, and what joins the nodes.
//!
//! ```toml
//! [[link]]
//! name = "lan"                       # nodes that name it are joined by it
//! fidelity = false                   # true: behaves as a wire would (1500 bytes, checksums)
//!
//! [[node]]
//! name = "server"                    # its name on the link, too
//! link = "lan"                       # or: net = "user" | "none" | "tap:NAME" | "packet:IFACE"
//! addresses = ["10.0.0.1/24", "fd00::1/64"]   # on a real interface also "dhcp", "slaac"
//!
//! [[node.app]]
//! component = "tcp-echo.wasm"        # relative to this file
//! background = true                  # ended when every other app has ended
//!
//! [[node.app]]
//! component = "http-api.wasm"
//! serve = ["127.0.0.1:8080", "stack:80"]   # answers HTTP, in the background; 80 is "stack:80"
//! tls = { cert = "cert.pem", key = "key.pem" }
//! ```
//! It grants nothing: what an app may do is in its manifest and the operator's policy.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use nexus_nic::Target;
use nexus_policy::explain::escape;
use nexus_types::{HostName, InterfaceAddress};
use nexus_usernet::Publish;
use serde::Deserialize;
use toml::Spanned;

use super::listen::{Listen, Serve};
use super::net;
use super::values::{Net, parse_address_source, parse_interface_address, parse_resolver};
use crate::driver::Wire;

/// Stops a world of thousands of apps, which is a mistake, from being started one by one.
const NODES_MAX: usize = 256;
const APPS_MAX: usize = 1_024;

const KEYS: net::Words = net::Words {
    give: "addresses = [\"ADDR/PREFIX\"], or [\"dhcp\", \"slaac\"]",
    address: ["the address \"", "\""],
    gateway: "gateways",
};

/// The file, checked.
#[derive(Debug)]
pub(super) struct World {
    pub(super) links: Vec<Link>,
    pub(super) nodes: Vec<Node>,
}

/// `[[link]]`
#[derive(Debug)]
pub(super) struct Link {
    pub(super) fidelity: bool,
}

/// `[[node]]`
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) attachment: Attachment,
    pub(super) apps: Vec<App>,
}

/// What a node is joined to.
#[derive(Debug)]
pub(super) enum Attachment {
    None,
    User {
        publish: Vec<Publish>,
    },
    Wire(Wire),
    Link {
        /// Index into [`World::links`].
        link: usize,
        addresses: Vec<InterfaceAddress>,
        host_name: HostName,
    },
}

/// `[[node.app]]`
#[derive(Debug)]
pub(super) struct App {
    pub(super) component: PathBuf,
    pub(super) manifest: Option<PathBuf>,
    pub(super) arguments: Vec<String>,
    pub(super) background: bool,
    /// Where it answers HTTP; nowhere: it is a program that runs to its end.
    pub(super) serve: Vec<Listen>,
    /// The certificate it shows there, and its key.
    pub(super) tls: Option<[PathBuf; 2]>,
}

/// What is wrong with the file, all at once, each with its place.
#[derive(Debug)]
pub(super) struct WorldError {
    pub(super) source: String,
    pub(super) problems: Vec<(u32, u32, String)>,
}

impl fmt::Display for WorldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (line, column, message)) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:{line}:{column}: {message}", self.source)?;
        }
        Ok(())
    }
}

impl std::error::Error for WorldError {}

mod file {
    //! The file's own shape; unknown keys are errors.
    use super::{Deserialize, Serve, Spanned};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct World {
        #[serde(default)]
        pub(super) link: Vec<Link>,
        #[serde(default)]
        pub(super) node: Vec<Node>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Link {
        pub(super) name: Spanned<String>,
        #[serde(default)]
        pub(super) fidelity: bool,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Node {
        pub(super) name: Spanned<String>,
        pub(super) net: Option<Spanned<String>>,
        pub(super) link: Option<Spanned<String>>,
        #[serde(default)]
        pub(super) addresses: Vec<Spanned<String>>,
        #[serde(default)]
        pub(super) gateways: Vec<Spanned<String>>,
        #[serde(default)]
        pub(super) dns: Vec<Spanned<String>>,
        pub(super) mtu: Option<Spanned<usize>>,
        pub(super) offload: Option<Spanned<bool>>,
        #[serde(default)]
        pub(super) publish: Vec<Spanned<String>>,
        #[serde(default)]
        pub(super) app: Vec<App>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct App {
        pub(super) component: Spanned<String>,
        pub(super) manifest: Option<String>,
        #[serde(default)]
        pub(super) args: Vec<String>,
        #[serde(default)]
        pub(super) background: bool,
        pub(super) serve: Option<Spanned<Serve>>,
        pub(super) tls: Option<Spanned<Tls>>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Tls {
        pub(super) cert: String,
        pub(super) key: String,
    }
}

/// Collects what is wrong with a file.
pub(super) struct Checker<'a> {
    pub(super) text: &'a str,
    pub(super) problems: Vec<(u32, u32, String)>,
}

impl Checker<'_> {
    pub(super) fn problem(&mut self, at: Range<usize>, message: String) {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.problems.push((number(line), number(column), message));
    }
}

impl World {
    /// Reads the file's text. Paths in it are relative to `folder`.
    pub(super) fn parse(text: &str, source: &str, folder: &Path) -> Result<Self, WorldError> {
        let mut checker = Checker {
            text,
            problems: Vec::new(),
        };
        let world = match toml::from_str::<file::World>(text) {
            Ok(file) => checker.world(&file, folder),
            Err(error) => {
                let message = escape(error.message());
                checker.problem(error.span().unwrap_or(0..0), message);
                Self {
                    links: Vec::new(),
                    nodes: Vec::new(),
                }
            }
        };
        if checker.problems.is_empty() {
            return Ok(world);
        }
        checker.problems.sort();
        Err(WorldError {
            source: source.to_owned(),
            problems: checker.problems,
        })
    }
}

impl Checker<'_> {
    fn world(&mut self, file: &file::World, folder: &Path) -> World {
        let apps: usize = file.node.iter().map(|node| node.app.len()).sum();
        if file.node.len() > NODES_MAX || apps > APPS_MAX {
            let message = format!("at most {NODES_MAX} nodes and {APPS_MAX} apps");
            self.problem(0..0, message);
        } else if apps == 0 {
            let message = "no app: a world has at least one [[node]] with one [[node.app]]";
            self.problem(0..0, message.into());
        }
        let mut names = BTreeSet::new();
        for link in &file.link {
            if !names.insert(link.name.get_ref()) {
                let message = format!("two links are called `{}`", escape(link.name.get_ref()));
                self.problem(link.name.span(), message);
            }
        }
        let mut names = BTreeSet::new();
        for node in &file.node {
            if !names.insert(node.name.get_ref()) {
                let message = format!("two nodes are called `{}`", escape(node.name.get_ref()));
                self.problem(node.name.span(), message);
            }
        }
        let mut taken = BTreeSet::new();
        let nodes = file
            .node
            .iter()
            .map(|node| Node {
                name: node.name.get_ref().clone(),
                attachment: self.attachment(node, &file.link, &mut taken),
                apps: node.app.iter().map(|app| self.app(app, folder)).collect(),
            })
            .collect();
        World {
            links: file
                .link
                .iter()
                .map(|link| Link {
                    fidelity: link.fidelity,
                })
                .collect(),
            nodes,
        }
    }

    fn app(&mut self, app: &file::App, folder: &Path) -> App {
        if app.component.get_ref().is_empty() {
            self.problem(app.component.span(), "this must be a path".into());
        }
        let serve = self.serve(app.serve.as_ref());
        let tls = app.tls.as_ref().map(|tls| {
            if app.serve.is_none() {
                let message =
                    "only an app that serves shows a certificate: serve = \"127.0.0.1:8443\"";
                self.problem(tls.span(), message.into());
            }
            let tls = tls.get_ref();
            [&tls.cert, &tls.key].map(|path| folder.join(path))
        });
        App {
            component: folder.join(app.component.get_ref()),
            manifest: app.manifest.as_ref().map(|manifest| folder.join(manifest)),
            arguments: app.args.clone(),
            background: app.background || app.serve.is_some(),
            serve,
            tls,
        }
    }

    fn attachment(
        &mut self,
        node: &file::Node,
        links: &[file::Link],
        taken: &mut BTreeSet<(usize, IpAddr)>,
    ) -> Attachment {
        let kind: Option<Result<Net, String>> = node.net.as_ref().map(|net| net.get_ref().parse());
        if !matches!(kind, Some(Ok(Net::Wire(_)))) {
            self.of_wires_alone(node);
        }
        if node.link.is_some()
            && let Some(publish) = node.publish.first()
        {
            let message = "only a node with net = \"user\" publishes ports";
            self.problem(publish.span(), message.into());
        }
        match (&node.net, &node.link) {
            (Some(net), Some(_)) => {
                let message = "a node has one interface: either net or link";
                self.problem(net.span(), message.into());
                Attachment::None
            }
            (None, Some(link)) => self.linked(node, link, links, taken),
            (net, None) => {
                let publish = self.published(node);
                let kind = kind.unwrap_or(Ok(Net::User));
                if kind != Ok(Net::User)
                    && let Some(publish) = node.publish.first()
                {
                    let message = "only a node with net = \"user\" publishes ports";
                    self.problem(publish.span(), message.into());
                }
                match kind {
                    Ok(Net::User) => Attachment::User { publish },
                    Ok(Net::None) => Attachment::None,
                    Ok(Net::Wire(target)) => self.wire(node, target),
                    Err(error) => {
                        let at = net.as_ref().map_or(0..0, Spanned::span);
                        let message = format!("{error} (or link = \"...\")");
                        self.problem(at, message);
                        Attachment::None
                    }
                }
            }
        }
    }

    /// Keys that a node on a real interface alone has.
    fn of_wires_alone(&mut self, node: &file::Node) {
        let mut given: Vec<_> = [&node.gateways, &node.dns]
            .into_iter()
            .filter_map(|list| list.first().map(Spanned::span))
            .chain(node.mtu.as_ref().map(Spanned::span))
            .chain(node.offload.as_ref().map(Spanned::span))
            .collect();
        if node.link.is_none() {
            given.extend(node.addresses.first().map(Spanned::span));
        }
        for at in given {
            let message = if node.link.is_some() {
                "only a node with net = \"tap:NAME\" or \"packet:IFACE\" has this"
            } else {
                "a node without a link or a real interface has no addresses of its own choosing"
            };
            self.problem(at, message.into());
        }
    }

    fn wire(&mut self, node: &file::Node, target: Target) -> Attachment {
        let addresses = self.parsed(&node.addresses, parse_address_source);
        let gateways = self.parsed(&node.gateways, |text| {
            text.parse()
                .map_err(|_| "an address, as in 10.0.0.1".to_owned())
        });
        let resolvers = self.parsed(&node.dns, parse_resolver);
        // Where an address is wrong already there is nothing to compare with.
        if addresses.len() == node.addresses.len()
            && let Err(problem) = net::wire(&addresses, &gateways, &KEYS)
        {
            self.problem(node.name.span(), format!("the node {problem}"));
        }
        Attachment::Wire(Wire {
            target,
            addresses: net::addresses(&addresses),
            gateways,
            resolvers,
            mtu: node.mtu.as_ref().map(|mtu| *mtu.get_ref()),
            offload: node.offload.as_ref().is_none_or(|on| *on.get_ref()),
        })
    }

    pub(super) fn parsed<T>(
        &mut self,
        texts: &[Spanned<String>],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut parsed = Vec::with_capacity(texts.len());
        for text in texts {
            match parse(text.get_ref()) {
                Ok(value) => parsed.push(value),
                Err(wanted) => {
                    let message = format!("`{}` is not {wanted}", escape(text.get_ref()));
                    self.problem(text.span(), message);
                }
            }
        }
        parsed
    }

    fn addresses(&mut self, node: &file::Node) -> Vec<InterfaceAddress> {
        self.parsed(&node.addresses, parse_interface_address)
    }

    fn published(&mut self, node: &file::Node) -> Vec<Publish> {
        let mut published = Vec::new();
        for text in &node.publish {
            match text.get_ref().parse() {
                Ok(publish) => published.push(publish),
                Err(error) => self.problem(text.span(), format!("{error}")),
            }
        }
        published
    }

    fn linked(
        &mut self,
        node: &file::Node,
        link: &Spanned<String>,
        links: &[file::Link],
        taken: &mut BTreeSet<(usize, IpAddr)>,
    ) -> Attachment {
        let index = links
            .iter()
            .position(|known| known.name.get_ref() == link.get_ref());
        let Some(index) = index else {
            let message = format!("there is no [[link]] called `{}`", escape(link.get_ref()));
            self.problem(link.span(), message);
            return Attachment::None;
        };
        if node.addresses.is_empty() {
            let message = "a node on a link needs addresses, as in [\"10.0.0.1/24\"]";
            self.problem(node.name.span(), message.into());
        }
        let addresses = self.addresses(node);
        for address in &addresses {
            if !taken.insert((index, address.address())) {
                let message = format!("another node of the link has {}", address.address());
                self.problem(node.name.span(), message);
            }
        }
        match HostName::parse(node.name.get_ref()) {
            Ok(host_name) => Attachment::Link {
                link: index,
                addresses,
                host_name,
            },
            Err(error) => {
                let message = format!(
                    "`{}` cannot be the node's name on its link: {error}",
                    escape(node.name.get_ref())
                );
                self.problem(node.name.span(), message);
                Attachment::None
            }
        }
    }
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
