//! What the host's process ends with, and why.

use nexus_policy::explain::{Text, Topic, TopicKind};

/// Every code of ours. An app's own code is passed on, and may be one of them.
pub(super) fn topics() -> Vec<Topic> {
    CODES
        .into_iter()
        .map(|(word, text)| Topic::new(word, TopicKind::ExitCode, text))
        .collect()
}

const fn code(
    summary: &'static str,
    more: &'static str,
    todo: &'static str,
    see: &'static [&'static str],
) -> Text {
    Text {
        summary,
        more,
        todo,
        see,
    }
}

const CODES: [(&str, Text); 9] = [
    (
        "0",
        code(
            "all went well",
            "Of `run`: the app ended with 0. Of `check` and `policy check`: it would start, everything asked is \
             allowed. Of `policy diff`: no difference in effect.",
            "",
            &[],
        ),
    ),
    (
        "1",
        code(
            "the host or the machine is at fault: a file, a port, memory",
            "An app can end with it as well: the summary, or --report FILE, says whose it is. Of `policy diff`: \
             the policies differ, as diff(1) has it. Of `sim` and `test`: an expectation was not met.",
            "The message says what, and what to do.",
            &[],
        ),
    ),
    (
        "2",
        code(
            "the command line is wrong",
            "A flag that is none, a value that cannot be meant. Nothing was started.",
            "`nexus-host VERB --help` shows the flags.",
            &[],
        ),
    ),
    (
        "77",
        code(
            "refused: the app was not started, or what was asked is not allowed",
            "Something the app imports or its manifest asks for is not granted. Everything that is missing is told \
             at once, and no instruction of the app has run. (EX_NOPERM of sysexits.h.)",
            "Read the report: each thing missing has its reason and its fix.",
            &["not-granted", "consent-required", "operator-denied"],
        ),
    ),
    (
        "78",
        code(
            "a manifest, policy, world or scenario file is wrong",
            "The message names line, column and key of each problem, and what was probably meant. Nothing was \
             started. (EX_CONFIG of sysexits.h.)",
            "Mend the file.",
            &[],
        ),
    ),
    (
        "124",
        code(
            "the app ran longer than it may",
            "By --timeout, [limits] timeout of its manifest or of the policy, whichever is shortest. Host calls \
             count. (As timeout(1).)",
            "Give it more time, or find out what it waits for.",
            &["deadline"],
        ),
    ),
    (
        "130",
        code(
            "interrupted: SIGINT, or Ctrl-C",
            "The app was ended, its sockets closed. A second one ends the host at once.",
            "",
            &[],
        ),
    ),
    (
        "134",
        code(
            "the app trapped",
            "A panic, an unreachable instruction, a memory access out of bounds, a stack overflow. The backtrace is on \
             standard error.",
            "Mend the app.",
            &[],
        ),
    ),
    (
        "143",
        code("ended by SIGTERM", "As 130, by a supervisor.", "", &[]),
    ),
];
