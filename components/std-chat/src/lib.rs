//! A chat, without its sockets: who is in the room, what is said, and what each has yet to be sent.
//!
//! Lines of text: the first that a member sends is its name, every other is passed on to all others as
//! `NAME: LINE`. Who comes is told who is here (`* here: NAME, NAME`), the others `* NAME is here`, and later `* NAME
//! left`.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// Most members at once: what each costs is bounded below, so this bounds the memory of the room, to about 2 MiB.
pub const MEMBERS_MAX: usize = 16;

/// Longest line, its end aside: stops a member from filling memory with a line that does not end.
pub const LINE_BYTES_MAX: usize = 1024;

/// Longest name: it is repeated before everything its owner says.
pub const NAME_BYTES_MAX: usize = 32;

/// Most bytes kept for a member: stops one that does not read from filling memory.
pub const UNSENT_BYTES_MAX: usize = 64 * 1024;

/// Who a member is, as long as the room lives: never given to another.
pub type Id = u64;

/// Why somebody is not, or no longer, in the room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Out {
    /// [`MEMBERS_MAX`] are here.
    Full,
    /// A line was longer than [`LINE_BYTES_MAX`].
    LongLine,
    /// A name was empty, longer than [`NAME_BYTES_MAX`], or another's.
    BadName,
    /// More than [`UNSENT_BYTES_MAX`] were waiting to be read.
    DoesNotRead,
}

impl fmt::Display for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the room is full",
            Self::LongLine => "a line was too long",
            Self::BadName => "a name must be short, and nobody else's",
            Self::DoesNotRead => "what was said was not read",
        })
    }
}

#[derive(Default)]
struct Member {
    /// Empty until it has said it.
    name: String,
    /// The beginning of a line.
    begun: Vec<u8>,
    unsent: VecDeque<u8>,
    out: Option<Out>,
}

/// Who is here.
#[derive(Default)]
pub struct Room {
    members: BTreeMap<Id, Member>,
    last: Id,
}

impl Room {
    /// Lets somebody in, who has no name yet and hears nothing before it has one.
    ///
    /// # Errors
    /// [`Out::Full`].
    pub fn enter(&mut self) -> Result<Id, Out> {
        if self.members.len() >= MEMBERS_MAX {
            return Err(Out::Full);
        }
        self.last += 1;
        self.members.insert(self.last, Member::default());
        Ok(self.last)
    }

    /// Takes bytes from a member, and passes on each line that they end. One that is out is not heard.
    pub fn hear(&mut self, id: Id, bytes: &[u8]) {
        for &byte in bytes {
            let Some(member) = self.members.get_mut(&id).filter(|m| m.out.is_none()) else {
                return;
            };
            if byte != b'\n' {
                if member.begun.len() == LINE_BYTES_MAX {
                    member.out = Some(Out::LongLine);
                } else {
                    member.begun.push(byte);
                }
                continue;
            }
            let line = plain(&std::mem::take(&mut member.begun));
            if member.name.is_empty() {
                self.name(id, line);
            } else {
                let said = format!("{}: {line}\n", member.name);
                self.tell_others(id, &said);
            }
        }
    }

    fn name(&mut self, id: Id, name: String) {
        let bad = name.is_empty()
            || name.len() > NAME_BYTES_MAX
            || self.members.values().any(|member| member.name == name);
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        if bad {
            member.out = Some(Out::BadName);
            return;
        }
        member.name.clone_from(&name);
        self.tell_others(id, &format!("* {name} is here\n"));
        let here: Vec<&str> = self
            .members
            .values()
            .map(|member| &*member.name)
            .filter(|name| !name.is_empty())
            .collect();
        let here = format!("* here: {}\n", here.join(", "));
        self.tell(id, &here);
    }

    /// Takes a member out.
    pub fn leave(&mut self, id: Id) {
        if let Some(member) = self.members.remove(&id)
            && !member.name.is_empty()
        {
            self.tell_others(id, &format!("* {} left\n", member.name));
        }
    }

    /// What a member has yet to be sent; whoever sends takes it from the front.
    pub fn unsent(&mut self, id: Id) -> Option<&mut VecDeque<u8>> {
        self.members.get_mut(&id).map(|member| &mut member.unsent)
    }

    /// Why a member has to leave.
    pub fn out(&self, id: Id) -> Option<Out> {
        self.members.get(&id)?.out
    }

    fn tell_others(&mut self, id: Id, said: &str) {
        let others: Vec<Id> = self.members.keys().copied().filter(|o| *o != id).collect();
        for other in others {
            self.tell(other, said);
        }
    }

    fn tell(&mut self, id: Id, said: &str) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        if member.name.is_empty() || member.out.is_some() {
            return;
        }
        if member.unsent.len() + said.len() > UNSENT_BYTES_MAX {
            member.out = Some(Out::DoesNotRead);
        } else {
            member.unsent.extend(said.bytes());
        }
    }
}

/// A line as text that moves no cursor on anybody's terminal.
fn plain(line: &[u8]) -> String {
    String::from_utf8_lossy(line)
        .trim_end_matches('\r')
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
