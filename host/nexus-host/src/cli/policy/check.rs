//! `nexus-host policy check`: may this app do that, and whose word is it.
//!
//! Each question is judged by the gate's own `decide`, for an instance that never runs. No name is
//! looked up and no packet sent: what a name leads to is supposed (`--address`), or said to be judged
//! again.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use nexus_policy::explain::escape;
use nexus_policy::{Act, Admission, Capability, Denial, Supposed, canonical, classify, render};
use nexus_types::{HostName, Instant};
use serde_json::{Value, json};

use super::super::app::{Candidate, GrantArgs, Looked};
use super::super::{CliError, Common, Kind, Output, StateArgs, say};
use super::question::{self, Question, Wish};

const EXAMPLES: &str = "Examples:
  nexus-host policy check app.wasm --tcp api.example.com:443
  nexus-host policy check app.wasm --tcp api.example.com:443 --address 10.0.0.7
                                             and if the name led there?
  nexus-host policy check app.wasm --listen any:8080 --env LANG --policy new.toml
  nexus-host policy check app.wasm --tcp '[::ffff:10.0.0.1]:80' --output json | jq '.data.answers'

Judged as on the network of --net user. Exit codes: 0 all of it is allowed, 2 usage, 77 some is
refused or the app would not start, 78 bad manifest or policy.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PolicyCheckArgs {
    /// The component
    #[arg(value_name = "APP.wasm")]
    app: PathBuf,
    /// May it open a TCP connection there
    #[arg(long, value_name = "HOST:PORT")]
    tcp: Vec<String>,
    /// May it send datagrams there
    #[arg(long, value_name = "HOST:PORT")]
    udp: Vec<String>,
    /// May it listen for TCP connections there: an address of the node, `any` or `loopback`
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// May it bind a UDP socket there
    #[arg(long, value_name = "ADDR:PORT")]
    bind: Vec<String>,
    /// May it look this name up
    #[arg(long, value_name = "NAME")]
    resolve: Vec<String>,
    /// May it have this folder, `ro` or `rw`
    #[arg(long, value_name = "PATH:MODE")]
    dir: Vec<String>,
    /// May it see this variable
    #[arg(long, value_name = "NAME")]
    env: Vec<String>,
    /// Suppose that every name leads here
    #[arg(long, value_name = "IP")]
    address: Vec<IpAddr>,
    /// The manifest [default: the one the component carries]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    grants: GrantArgs,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

impl PolicyCheckArgs {
    /// What is asked, in the order of the help.
    fn questions(&self) -> Result<Vec<Question>, CliError> {
        use Capability as C;
        let far = |flag: &'static str, capability| {
            move |text: &String| question::far_end(flag, capability, text)
        };
        let near = |flag: &'static str, capability| {
            move |text: &String| question::local(flag, capability, text)
        };
        let questions: Result<Vec<_>, String> = (self.tcp.iter())
            .map(far("--tcp", C::NetworkTcpConnect))
            .chain(self.udp.iter().map(far("--udp", C::NetworkUdpSend)))
            .chain(
                self.listen
                    .iter()
                    .map(near("--listen", C::NetworkTcpListen)),
            )
            .chain(self.bind.iter().map(near("--bind", C::NetworkUdpBind)))
            .chain(self.resolve.iter().map(|text| question::resolve(text)))
            .chain(self.dir.iter().map(|text| question::directory(text)))
            .chain(self.env.iter().map(|text| Ok(question::variable(text))))
            .collect();
        let questions = questions.map_err(|error| CliError::new(Kind::Usage, error))?;
        if questions.is_empty() {
            let hint = "name at least one of --tcp, --udp, --listen, --bind, --resolve, --dir, --env; \
                        `nexus-host check` tells of the app as a whole";
            return Err(CliError::new(Kind::Usage, "nothing is asked").hint(hint));
        }
        Ok(questions)
    }
}

/// What is said of one question.
struct Answer {
    allowed: bool,
    text: String,
    data: Value,
}

pub(super) fn check(args: &PolicyCheckArgs) -> Result<u8, CliError> {
    let questions = args.questions()?;
    let Looked {
        policies,
        candidate,
        consent,
    } = Looked::at(
        &args.app,
        args.manifest.as_deref(),
        &args.grants,
        &args.state,
    )?;
    // A gate for each question: what one supposes of a name is nothing to the next.
    let suppose = || {
        Supposed::new(
            policies.gate(),
            Instant::ZERO,
            candidate.identity.clone(),
            candidate.manifest.clone(),
            consent.clone(),
            &candidate.asked,
        )
    };
    let asker = Asker {
        candidate: &candidate,
        addresses: &args.address,
    };
    let answers: Vec<_> = questions
        .iter()
        .map(|question| asker.answer(suppose(), question))
        .collect();
    let supposed = suppose();
    let admission = supposed.admission();
    say_all(args, &candidate, admission, &answers)
}

fn say_all(
    args: &PolicyCheckArgs,
    candidate: &Candidate,
    admission: &Admission,
    answers: &[Answer],
) -> Result<u8, CliError> {
    let refused =
        (!admission.admitted).then(|| CliError::new(Kind::Refused, admission.text().trim_end()));
    let allowed = answers.iter().all(|answer| answer.allowed);
    let data = json!({
        "app": candidate.identity.id,
        "digest": candidate.identity.digest.to_string(),
        "manifest": admission.manifest,
        "admitted": admission.admitted,
        "missing": admission.missing,
        "answers": answers.iter().map(|answer| &answer.data).collect::<Vec<_>>(),
    });
    match (args.common.output, &refused) {
        (Output::Json, Some(error)) => say::envelope(data, Some(error))?,
        (Output::Json, None) => say::outcome(allowed, &data)?,
        (Output::Text, refused) => {
            let mut text = String::new();
            if refused.is_some() {
                text.push_str("the app would not start (see below); if it did:\n\n");
            }
            let all: Vec<_> = answers.iter().map(|answer| answer.text.as_str()).collect();
            text.push_str(&all.join("\n\n"));
            text.push('\n');
            if refused.is_some() {
                text.push('\n');
            }
            say::answer(Output::Text, &text, Value::Null)?;
            if let Some(error) = refused {
                error.say(Output::Text);
            }
        }
    }
    Ok(if allowed && refused.is_none() {
        0
    } else {
        Kind::Refused.exit_code()
    })
}

struct Asker<'a> {
    candidate: &'a Candidate,
    addresses: &'a [IpAddr],
}

impl Asker<'_> {
    fn answer(&self, mut supposed: Supposed, question: &Question) -> Answer {
        let mut verdicts = Vec::new();
        match &question.wish {
            Wish::Address(capability, remote) => {
                verdicts.push(self.far_end(&mut supposed, *capability, *remote, None));
            }
            Wish::Name(capability, name, port) => {
                self.name(&mut supposed, *capability, name, *port, &mut verdicts);
            }
            Wish::Misspelt(capability, v4, port) => {
                verdicts.push(self.misspelt(&supposed, question, *capability, (*v4).into(), *port));
            }
            Wish::Local(capability, local) => {
                let act = match capability {
                    Capability::NetworkUdpBind => Act::UdpBind { local: *local },
                    _ => Act::Listen { local: *local },
                };
                let verdict = self.judge(&mut supposed, &act, local.to_string());
                verdicts.push(verdict.respelt(local.ip(), None));
            }
            Wish::Resolve(name) => verdicts.push(self.lookup(&mut supposed, name)),
            Wish::Directory(path, mode) => {
                let act = Act::OpenDirectory { path, mode: *mode };
                let target = format!("{}:{}", escape(path), mode.as_str());
                verdicts.push(self.judge(&mut supposed, &act, target));
            }
            Wish::Variable(name) => {
                let act = Act::SetVariable { name };
                verdicts.push(self.judge(&mut supposed, &act, escape(name)));
            }
        }
        // Of a name with several addresses those that are allowed are tried.
        let allowed = verdicts.iter().any(|verdict| verdict.allowed);
        let texts: Vec<_> = verdicts
            .iter()
            .map(|verdict| verdict.text.as_str())
            .collect();
        Answer {
            allowed,
            text: texts.join("\n"),
            data: json!({
                "asked": question.asked,
                "allowed": allowed,
                "verdicts": verdicts.iter().map(|verdict| &verdict.data).collect::<Vec<_>>(),
            }),
        }
    }

    /// The real decision, and the words for it.
    fn judge(&self, supposed: &mut Supposed, act: &Act<'_>, target: String) -> Verdict {
        let capability = act.capability();
        match supposed.ask(Instant::ZERO, act) {
            Ok(by) => {
                let mut text = format!("allowed  {capability}  app={}  {target}", self.app());
                for (index, word) in by.iter().enumerate() {
                    let lead = if index == 0 { "by " } else { "and" };
                    text.push_str(&format!("\n  {lead}    {word}"));
                }
                let data = json!({"verdict": "allowed", "capability": capability, "target": target, "by": by});
                Verdict {
                    allowed: true,
                    text,
                    data,
                }
            }
            Err(denial) => self.refused(&denial),
        }
    }

    fn refused(&self, denial: &Denial) -> Verdict {
        Verdict {
            allowed: false,
            text: render(denial, &self.candidate.identity),
            data: json!({
                "verdict": "refused",
                "capability": denial.capability,
                "target": denial.target.full(),
                "denial": denial,
            }),
        }
    }

    fn app(&self) -> String {
        let identity = &self.candidate.identity;
        format!(
            "{} (sha256:{}…)",
            escape(&identity.id),
            identity.digest.short()
        )
    }

    fn far_end(
        &self,
        supposed: &mut Supposed,
        capability: Capability,
        remote: SocketAddr,
        name: Option<&HostName>,
    ) -> Verdict {
        let act = match capability {
            Capability::NetworkUdpSend => Act::UdpSend { remote, name },
            _ => Act::Connect { remote, name },
        };
        let target = match name {
            Some(name) => format!("{name}:{} -> {}", remote.port(), remote.ip()),
            None => remote.to_string(),
        };
        let class = classify(supposed.topology(), remote.ip());
        self.judge(supposed, &act, target)
            .respelt(remote.ip(), Some(class.as_str()))
    }

    /// A lookup, by whichever capability lets it.
    fn lookup(&self, supposed: &mut Supposed, name: &HostName) -> Verdict {
        let [tcp, udp] = [Capability::NetworkTcpConnect, Capability::NetworkUdpSend].map(|via| {
            let act = Act::Resolve { name, via };
            self.judge(supposed, &act, format!("look up {name}"))
        });
        if udp.allowed && !tcp.allowed {
            udp
        } else {
            tcp
        }
    }

    fn name(
        &self,
        supposed: &mut Supposed,
        capability: Capability,
        name: &HostName,
        port: u16,
        verdicts: &mut Vec<Verdict>,
    ) {
        let act = Act::Resolve {
            name,
            via: capability,
        };
        let lookup = self.judge(supposed, &act, format!("look up {name}"));
        if !lookup.allowed {
            verdicts.push(lookup);
            return;
        }
        for address in self.addresses {
            supposed.answer(Instant::ZERO, name, *address);
            let remote = SocketAddr::new(*address, port);
            verdicts.push(self.far_end(supposed, capability, remote, Some(name)));
        }
        if !self.addresses.is_empty() {
            return;
        }
        // Where a name of its kind leads when all is well.
        let internal = name.as_str() == nexus_policy::rule::HOST_INTERNAL;
        let (somewhere, class) = if internal {
            (supposed.topology().host.first().copied(), "host")
        } else {
            (supposed.somewhere_public(), "public")
        };
        let Some(somewhere) = somewhere else {
            verdicts.push(lookup.note("judged again at the address the name leads to"));
            return;
        };
        supposed.answer(Instant::ZERO, name, somewhere);
        let remote = SocketAddr::new(somewhere, port);
        let verdict = self.far_end(supposed, capability, remote, Some(name));
        let note = format!(
            "no name was looked up: supposed to lead to an address of class `{class}`, and judged again at the one it leads to"
        );
        verdicts.push(verdict.unnamed(somewhere, class).note(&note));
    }

    /// No app can do it in this spelling; what it could do in the usual one is said as well.
    fn misspelt(
        &self,
        supposed: &Supposed,
        question: &Question,
        capability: Capability,
        address: IpAddr,
        port: u16,
    ) -> Verdict {
        let class = classify(supposed.topology(), address);
        let shown = question.asked.split_once(' ').map_or("", |(_, text)| text);
        let text = format!(
            "denied  {capability}  app={}  {shown}\n  why    a number is no host name, and no address in this spelling; \
             others would read {address}, of class `{class}`\n  fix    ask for {address}{}",
            self.app(),
            if port == 0 {
                String::new()
            } else {
                format!(":{port}")
            }
        );
        Verdict {
            allowed: false,
            text,
            data: json!({
                "verdict": "refused",
                "capability": capability,
                "target": shown,
                "reads_as": address.to_string(),
                "class": class,
            }),
        }
    }
}

/// One judgement, in words and for programs.
struct Verdict {
    allowed: bool,
    text: String,
    data: Value,
}

impl Verdict {
    /// Says after its first line what an address is that is written in another form, and its class.
    fn respelt(mut self, address: IpAddr, class: Option<&str>) -> Self {
        let plain = canonical(address).address;
        self.data["address"] = json!(plain.to_string());
        if let Some(class) = class {
            self.data["class"] = json!(class);
        }
        if plain == address {
            return self;
        }
        let class = class.map_or_else(String::new, |class| format!(", of class `{class}`"));
        let line = format!("\n  is     {address} is {plain} in another form{class}");
        let at = self.text.find('\n').unwrap_or(self.text.len());
        self.text.insert_str(at, &line);
        self
    }

    fn note(mut self, note: &str) -> Self {
        self.text.push_str(&format!("\n  note   {note}"));
        self.data["note"] = json!(note);
        self
    }

    /// Without an address that was only made up.
    fn unnamed(mut self, address: IpAddr, class: &str) -> Self {
        let (made_up, said) = (address.to_string(), format!("an address of class {class}"));
        self.text = self
            .text
            .replace(&format!("-> {made_up}"), &format!("-> {said}"));
        self.data["address"] = Value::Null;
        for target in ["/target", "/denial/target"] {
            if let Some(Value::String(text)) = self.data.pointer_mut(target) {
                *text = text.replace(&made_up, &said);
            }
        }
        self
    }
}
