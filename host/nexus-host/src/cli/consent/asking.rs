//! From questions to answers, before an app starts: what is remembered, what is asked, what is written down.

use std::time::Instant;

use clap::Args;
use clap::builder::BoolishValueParser;
use nexus_policy::admission::Question;
use nexus_policy::remembered::{Entry, Moment};
use nexus_policy::{
    Answer, AnsweredBy, AppIdentity, Consent, Entry as Record, Gate, Lifetime, PublisherKey,
    Recorded, Remembered, Rule,
};
use nexus_types::{AppDigest, InstanceId, limits};

use super::agent::{Ask, ConsentAgent, Offers, Rate, Said, Script};
use super::terminal::Terminal;
use super::turn::{self, Turn};
use super::{prompt, store};
use crate::cli::app::Candidate;
use crate::cli::policies::wall_time;
use crate::cli::{CliError, Kind, Output, StateArgs};
use crate::runtime::shown;
use crate::runtime::stdio::say;

/// Questions of one app at most: nobody reads more, and says yes to all to be done with it.
const QUESTIONS_MAX: usize = limits::CONSENT_QUESTIONS;
/// The longest rule that is asked about: with it, the app's name stays in sight.
const RULE_CHARS_MAX: usize = limits::CONSENT_RULE_CHARS;
/// Of all apps of this process.
const QUESTIONS_ALL_MAX: usize = limits::CONSENT_QUESTIONS_ALL;

/// Whether a person may be asked.
#[derive(Args)]
pub(in crate::cli) struct AskArgs {
    /// Ask nobody: what only a person can allow is refused, unless it was answered before
    #[arg(long, env = "NEXUS_NON_INTERACTIVE", value_parser = BoolishValueParser::new())]
    non_interactive: bool,
}

/// What this process knows of answers, and whom it asks.
pub(in crate::cli) struct Asking {
    agent: Option<Box<dyn ConsentAgent>>,
    state: Option<std::path::PathBuf>,
    remembered: Remembered,
    boot: Option<String>,
    rate: Rate,
    /// What was said for this run: an app that a world has twice is asked about once.
    here: Vec<(AppDigest, Answer)>,
    /// Questions asked so far.
    asked: usize,
    /// Somebody said no to all that follow.
    no_to_all: bool,
}

impl Asking {
    /// Reads what is remembered, and asks nobody.
    ///
    /// # Errors
    /// It cannot be read: exit code 78.
    pub(in crate::cli) fn nobody(state: &StateArgs) -> Result<Self, CliError> {
        let state = state.dir();
        let remembered = state.as_deref().map(store::read).transpose()?;
        Ok(Self {
            agent: None,
            state,
            remembered: remembered.unwrap_or_default(),
            boot: store::boot(),
            rate: Rate::default(),
            here: Vec::new(),
            asked: 0,
            no_to_all: false,
        })
    }

    /// The same, and asks who is at the terminal. A program that reads JSON is nobody to ask.
    pub(in crate::cli) fn open(
        state: &StateArgs,
        args: &AskArgs,
        output: Output,
    ) -> Result<Self, CliError> {
        let mut asking = Self::nobody(state)?;
        if !args.non_interactive && output == Output::Text {
            let terminal = Terminal::at_hand();
            asking.agent = terminal.map(|terminal| Box::new(terminal) as Box<dyn ConsentAgent>);
        }
        Ok(asking)
    }

    /// Goes by what is remembered now: an answer may have been taken back since.
    pub(in crate::cli) fn renew(&mut self, remembered: Remembered) {
        self.remembered = remembered;
    }

    /// What is known already, without a question.
    pub(in crate::cli) fn known(&self, candidate: &Candidate, consent: Consent) -> Consent {
        let app = &candidate.answering();
        let moment = Moment {
            boot: self.boot.as_deref(),
            now: wall_time(),
        };
        let mut answers = self.remembered.of(app, &moment);
        let here = self.here.iter().filter(|(of, _)| *of == app.digest);
        answers.extend(here.map(|(_, answer)| answer.clone()));
        Consent { answers, ..consent }
    }

    /// What is known, and what is answered to what is not. Every answer is recorded by the gate.
    ///
    /// # Errors
    /// Whoever was asked could not be, or what they said could not be kept: nothing may start.
    pub(in crate::cli) fn settle(
        &mut self,
        gate: &mut Gate,
        candidate: &Candidate,
        consent: Consent,
    ) -> Result<Consent, CliError> {
        let mut consent = self.known(candidate, consent);
        // What nobody has allowed is let pass and told there: nobody needs to be asked.
        if gate.mode().lets_pass() {
            return Ok(consent);
        }
        let Some(mut agent) = self.agent.take() else {
            return Ok(consent);
        };
        let asked = self.ask(&mut *agent, gate, candidate, &mut consent);
        self.agent = Some(agent);
        asked.map(|()| consent)
    }

    fn ask(
        &mut self,
        agent: &mut dyn ConsentAgent,
        gate: &mut Gate,
        candidate: &Candidate,
        consent: &mut Consent,
    ) -> Result<(), CliError> {
        let now = nexus_types::Instant::ZERO;
        let identity = &candidate.identity;
        let questions = gate.questions(
            now,
            identity,
            &candidate.manifest,
            consent,
            &candidate.asked,
        );
        if questions.is_empty() {
            return Ok(());
        }
        // Held until what was said is written down and told.
        let mut _turn = None;
        let said = if self.no_to_all {
            vec![Said::NoToAll; questions.len()]
        } else {
            _turn = match agent.by() {
                AnsweredBy::Terminal => turn::take(std::io::stdin()),
                _ => Some(Turn::nowhere()),
            };
            let askable = match _turn {
                Some(_) => self.askable(identity.digest, &questions),
                None => Err(
                    "another host is asking at this terminal; start this one again after that"
                        .to_owned(),
                ),
            };
            if let Err(why) = askable {
                agent.tell(&format!("note: nobody was asked: {why}\n"));
                return Ok(());
            }
            self.asked += questions.len();
            let unkept = self.unkept();
            let signed = candidate.signed_words(gate);
            let app = candidate.manifest.app();
            agent.ask(&Ask {
                file: &candidate.file.path,
                digest: identity.digest,
                signed: &signed,
                claims: app.map(|app| (app.id.as_str(), app.version.as_deref())),
                questions: &questions,
                offers: Offers {
                    session: unkept.is_none() && self.boot.is_some(),
                    always: unkept.is_none(),
                },
                unkept: unkept.as_deref(),
            })?
        };
        self.no_to_all |= said.contains(&Said::NoToAll);
        let mut answers = answers(questions, said, agent.by());
        let kept = self.keep(agent, &candidate.answering(), &mut answers);
        record_answers(gate, now, identity, &answers);
        for answer in &answers {
            if answer.lifetime == Lifetime::Once {
                self.here.push((identity.digest, answer.clone()));
            }
        }
        consent.answers.append(&mut answers);
        kept
    }

    /// Whether a person can be asked this, and now.
    fn askable(&mut self, digest: AppDigest, questions: &[Question]) -> Result<(), String> {
        let count = questions.len();
        if count > QUESTIONS_MAX {
            return Err(format!(
                "it asks for {count} things, and more than {QUESTIONS_MAX} nobody reads; a policy can allow them"
            ));
        }
        for Question {
            capability, rule, ..
        } in questions
        {
            let text = rule.to_string();
            let long = text.chars().count();
            if long > RULE_CHARS_MAX {
                return Err(format!(
                    "a rule of {capability} has {long} characters, and of more than {RULE_CHARS_MAX} nobody sees which app it is for; a policy can allow it"
                ));
            }
            // One that is shown as something else must not be said yes to, nor one that goes on as a line of ours.
            if Rule::parse(*capability, &text).as_ref() != Ok(rule) || text.contains("  ") {
                return Err(format!("{capability} {text} cannot be shown as what it is"));
            }
        }
        if self.asked + count > QUESTIONS_ALL_MAX {
            return Err(format!(
                "it asks for {count} things, and {} were asked about before it; more than {QUESTIONS_ALL_MAX} nobody reads; a policy can allow them",
                self.asked
            ));
        }
        if !self.rate.admits(digest, Instant::now()) {
            return Err("it was asked about three times within a minute".to_owned());
        }
        Ok(())
    }

    /// Why no answer could be kept; nothing is made for it.
    fn unkept(&self) -> Option<String> {
        let Some(state) = self.state.as_deref() else {
            return Some(
                "there is no state folder (HOME is not set, --state names none)".to_owned(),
            );
        };
        let why = store::keeps(state).err()?;
        Some(format!("{}: {why}", shown::path(state)))
    }

    /// Writes down what is to outlive the run, and gives each answer its id. What cannot be written holds for
    /// this run.
    fn keep(
        &mut self,
        agent: &mut dyn ConsentAgent,
        app: &AppIdentity,
        answers: &mut [Answer],
    ) -> Result<(), CliError> {
        let mut draw = [0; 4];
        getrandom::fill(&mut draw).map_err(|error| CliError::new(Kind::Host, error))?;
        let mut number = u32::from_be_bytes(draw);
        for answer in answers.iter_mut() {
            answer.id = self.remembered.free_id(number);
            number = u32::from_str_radix(&answer.id, 16).map_or(number, |id| id.wrapping_add(1));
        }
        let lasting = |answer: &Answer| answer.lifetime != Lifetime::Once;
        let Some(state) = self
            .state
            .as_deref()
            .filter(|_| answers.iter().any(lasting))
        else {
            return Ok(());
        };
        let moment = Moment {
            boot: self.boot.as_deref(),
            now: wall_time(),
        };
        let mut blocks = Vec::new();
        let mut lost = Vec::new();
        let changed = store::change(state, |remembered| {
            for answer in answers.iter_mut().filter(|answer| lasting(answer)) {
                // Another host may have taken it meanwhile.
                let number = u32::from_str_radix(&answer.id, 16).unwrap_or_default();
                answer.id = remembered.free_id(number);
                let entry = Entry::new(app, answer.clone(), &moment);
                match remembered.add(entry, &moment) {
                    Ok(lines) => blocks.push((answer.id.clone(), lines)),
                    Err(error) => {
                        lost.push(format!("{} {}: {error}", answer.capability, answer.rule));
                        answer.lifetime = Lifetime::Once;
                    }
                }
            }
        });
        match changed {
            Ok((remembered, ())) => self.remembered = remembered,
            Err(error) if error.kind == Kind::Config => return Err(error),
            Err(error) => {
                blocks.clear();
                lost.push(error.message);
                for answer in answers.iter_mut() {
                    answer.lifetime = Lifetime::Once;
                }
            }
        }
        if !blocks.is_empty() {
            let path = store::path(state).display().to_string();
            agent.tell(&prompt::written(&path, &blocks));
        }
        for why in lost {
            say(&format!(
                "warning: an answer holds for this run alone, it could not be kept: {why}\n"
            ));
        }
        Ok(())
    }
}

/// What was said, as answers that have no id yet.
fn answers(questions: Vec<Question>, said: Vec<Said>, by: AnsweredBy) -> Vec<Answer> {
    let answer = |(question, said): (Question, Said)| {
        let (yes, lifetime) = match said {
            Said::Yes(lifetime) => (true, lifetime),
            Said::No(lifetime) => (false, lifetime),
            Said::NoToAll => (false, Lifetime::Once),
            Said::Nothing => return None,
        };
        Some(Answer {
            id: String::new(),
            capability: question.capability,
            rule: question.rule,
            yes,
            lifetime,
            expires: None,
            by,
        })
    };
    questions.into_iter().zip(said).filter_map(answer).collect()
}

/// What a script answers of an app in a simulated world: nothing of it is kept.
///
/// # Errors
/// It cannot be asked.
pub(in crate::cli) fn scripted(
    script: &mut Script,
    gate: &Gate,
    candidate: &Candidate,
    consent: &Consent,
) -> Result<Vec<Answer>, CliError> {
    let questions = gate.questions(
        nexus_types::Instant::ZERO,
        &candidate.identity,
        &candidate.manifest,
        consent,
        &candidate.asked,
    );
    let said = script.ask(&Ask {
        file: &candidate.file.path,
        digest: candidate.identity.digest,
        signed: &candidate.signed_words(gate),
        claims: None,
        questions: &questions,
        offers: Offers {
            session: false,
            always: false,
        },
        unkept: None,
    })?;
    let mut answers = answers(questions, said, script.by());
    for (number, answer) in (1..).zip(&mut answers) {
        answer.id = format!("script-{number}");
    }
    Ok(answers)
}

/// Has answers recorded, each as an event of its own. That they cannot be kept is counted by who keeps them.
pub(in crate::cli) fn record_answers(
    gate: &mut Gate,
    now: nexus_types::Instant,
    app: &AppIdentity,
    answers: &[Answer],
) {
    for answer in answers {
        let _ = gate.record(
            now,
            &Record {
                app: Some(app),
                instance: None,
                capability: Some(answer.capability),
                target: Some(&answer.rule),
                verdict: Recorded::Event,
                reason: if answer.yes {
                    "consent-yes"
                } else {
                    "consent-no"
                },
                rule: Some(&answer.id),
                source: &answer.by,
            },
        );
    }
}

/// Gives running apps what the file says now: an answer that was taken back ends what it allowed. What was said
/// for a run stays. `vouches` says whether what is remembered of a publisher is for what this app, signed by that
/// key, calls itself.
pub(in crate::cli) fn renew(
    gate: &mut Gate,
    now: nexus_types::Instant,
    remembered: &Remembered,
    vouches: impl Fn(InstanceId, PublisherKey) -> bool,
) {
    let boot = store::boot();
    let moment = Moment {
        boot: boot.as_deref(),
        now: wall_time(),
    };
    let apps: Vec<_> = gate.apps().map(|(id, app)| (id, app.clone())).collect();
    for (instance, mut app) in apps {
        app.publisher = app.publisher.filter(|key| vouches(instance, *key));
        let Some(consent) = gate.consent(instance) else {
            continue;
        };
        let once = consent.answers.iter();
        let once = once.filter(|answer| answer.lifetime == Lifetime::Once);
        let mut answers = remembered.of(&app, &moment);
        answers.extend(once.cloned());
        if answers != consent.answers {
            let consent = Consent {
                answers,
                ..consent.clone()
            };
            gate.set_consent(now, instance, consent);
        }
    }
}
