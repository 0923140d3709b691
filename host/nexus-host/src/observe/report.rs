//! The report file: what a run came to, for programs. It is authoritative where an exit code,
//! which an app can choose, is not.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nexus_node::Quota;
use nexus_policy::{Admission, AppIdentity};
use nexus_types::limits;
use rustix::fs::Access;
use rustix::io::Errno;
use serde_json::{Value, json};

use super::passed::Passed;
use crate::runtime::instance::{Ended, Outcome};
use crate::runtime::limits::AppLimits;

/// What an app was refused while it ran.
#[derive(Clone, PartialEq, Debug)]
pub struct Refusals {
    /// One entry for each kind.
    pub listed: Value,
    /// How many more there were, of too many kinds to list.
    pub others: u64,
    /// How many its node could not tell us about, those of its other apps among them.
    pub events_dropped: u64,
    /// Records of the audit log that the host could not keep, of all its apps.
    pub audit_records_dropped: u64,
    /// What it would have been refused, and was let.
    pub passed: Passed,
}

/// The report of an app that was started.
pub fn of_run(
    app: &AppIdentity,
    limits: &AppLimits,
    quota: &Quota,
    ended: &Ended,
    refusals: Refusals,
) -> Value {
    json!({
        "outcome": ended.outcome.word(),
        "code": ended.outcome.code(),
        "message": message(&ended.outcome),
        "app": app.id,
        "digest": app.digest.to_string(),
        "usage": usage(ended),
        "limits": limits_of(limits, quota),
        "denials": refusals.listed,
        "denials_others": refusals.others,
        "events_dropped": refusals.events_dropped,
        "audit_records_dropped": refusals.audit_records_dropped,
        "mode": refusals.passed.mode.as_str(),
        "observed": refusals.passed.observed,
        "passed": refusals.passed.listed,
        "passed_others": refusals.passed.others,
    })
}

/// The report of an app that was not: refused, or a file is wrong, or the host cannot.
pub fn of_refusal(
    outcome: &str,
    code: u8,
    message: &str,
    app: Option<&AppIdentity>,
    admission: Option<&Admission>,
) -> Value {
    json!({
        "outcome": outcome,
        "code": code,
        "message": message,
        "app": app.map(|app| &app.id),
        "digest": app.map(|app| app.digest.to_string()),
        "missing": admission.map(|admission| &admission.missing),
    })
}

fn message(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Trap(text) | Outcome::Failed(text) => Some(text.clone()),
        Outcome::Exit(_) | Outcome::Deadline(_) | Outcome::Interrupted(_) | Outcome::Stopped => {
            None
        }
    }
}

fn usage(ended: &Ended) -> Value {
    json!({
        "wall_us": ended.usage.wall.as_micros() as u64,
        "cpu_us": ended.usage.cpu.as_micros() as u64,
        "slices": ended.usage.slices,
        "memory_bytes_peak": ended.usage.memory_bytes_peak,
        "table_elements_peak": ended.usage.table_elements_peak,
        "sockets_peak": ended.usage.net.sockets_peak,
        "bytes_in_flight_peak": ended.usage.net.bytes_in_flight_peak,
        "bytes_in": ended.usage.net.bytes_in,
        "bytes_out": ended.usage.net.bytes_out,
        "denials": ended.usage.net.denials,
    })
}

fn limits_of(of_app: &AppLimits, quota: &Quota) -> Value {
    json!({
        "memory_bytes": of_app.memory_bytes,
        "table_elements": of_app.table_elements,
        "stack_bytes": limits::WASM_STACK_BYTES,
        "handles": of_app.handles,
        "hostcall_bytes": of_app.hostcall_bytes,
        "sockets": quota.sockets,
        "bytes_in_flight": quota.bytes_in_flight,
        "cpu_slice_us": limits::EPOCH_TICK_MICROS,
        "deadline_ms": of_app.deadline.map(|deadline| deadline.as_millis() as u64),
        "request_body_bytes": of_app.requests.request_body,
        "response_body_bytes": of_app.requests.response_body,
        "request_timeout_ms": of_app.requests.timeouts.total.as_millis() as u64,
    })
}

/// What a folder in which no file may be made says, or a file that none may take the place of: a
/// folder of another's, one file mounted into a container, a name with no room for more.
fn in_place_instead(error: &io::Error) -> bool {
    [
        Errno::ACCESS,
        Errno::PERM,
        Errno::BUSY,
        Errno::ROFS,
        Errno::XDEV,
        Errno::NAMETOOLONG,
    ]
    .iter()
    .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Where a report is put together before it takes its place; none: it is written in place.
fn beside(path: &Path) -> io::Result<Option<[PathBuf; 2]>> {
    // A device or a pipe (`/dev/stderr`) is written to; a rename would put a file in its place.
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Ok(None);
    }
    // Beside what a link leads to, so that the link stays; one that leads nowhere is followed by
    // who opens it.
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        Err(_) if path.is_symlink() => return Ok(None),
        Err(_) => path.to_owned(),
    };
    let mut name = target
        .file_name()
        .ok_or_else(|| io::Error::other("is no name of a file"))?
        .to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = target.with_file_name(name);
    Ok(Some([temporary, target]))
}

fn create(temporary: &Path) -> io::Result<File> {
    let _ = fs::remove_file(temporary);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(temporary)
}

/// Whether a report could be written here, before there is one. Leaves what is there as it is.
pub fn check(path: &Path) -> io::Result<()> {
    if let Some([temporary, _]) = beside(path)? {
        match create(&temporary) {
            Ok(_) => return fs::remove_file(&temporary),
            Err(error) if !in_place_instead(&error) => return Err(error),
            Err(_) => {}
        }
    }
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        // Not opened: a pipe with a name would wait for its reader.
        Ok(_) => Ok(rustix::fs::access(path, Access::WRITE_OK)?),
        Err(_) => write_in_place(path, ""),
    }
}

/// Writes the report, whole or not at all where that can be had: who reads while we write sees
/// the one before.
pub fn write(path: &Path, report: &Value) -> io::Result<()> {
    let text = format!("{report:#}\n");
    let Some([temporary, target]) = beside(path)? else {
        return write_in_place(path, &text);
    };
    let written = create(&temporary).and_then(|mut file| {
        if let Ok(there) = fs::metadata(&target) {
            // Who could read the one before can read this one, and nobody else.
            file.set_permissions(there.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        fs::rename(&temporary, &target)
    });
    let Err(error) = written else {
        return Ok(());
    };
    let _ = fs::remove_file(&temporary);
    if in_place_instead(&error) {
        return write_in_place(path, &text);
    }
    Err(error)
}

fn write_in_place(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?
        .write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_takes_the_place_of_another_at_once() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("report.json");
        write(&path, &json!({"run": 1})).expect("written");
        let reader = File::open(&path).expect("opens");
        write(&path, &json!({"run": 2})).expect("written");
        // Who has it open keeps all of the old one.
        let old = io::read_to_string(reader).expect("reads");
        assert_eq!(old, "{\n  \"run\": 1\n}\n");
        let new = fs::read_to_string(&path).expect("reads");
        assert_eq!(new, "{\n  \"run\": 2\n}\n");
        assert_eq!(fs::read_dir(place.path()).expect("lists").count(), 1);
    }

    #[test]
    fn a_report_goes_where_a_link_leads_and_into_a_device() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("report.json");
        fs::write(&path, "old").expect("written");
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        write(&link, &json!(1)).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("reads"), "1\n");
        assert!(link.is_symlink());
        write(Path::new("/dev/null"), &json!(1)).expect("written");
    }

    #[test]
    fn reject_a_place_that_is_none_and_leave_nothing_there() {
        let place = tempfile::tempdir().expect("a folder");
        assert!(write(&place.path().join("absent/report.json"), &json!(1)).is_err());
        assert!(write(place.path(), &json!(1)).is_err());
        assert!(check(&place.path().join("absent/report.json")).is_err());
        assert!(check(place.path()).is_err());
        assert!(check(Path::new("")).is_err());
        assert_eq!(fs::read_dir(place.path()).expect("lists").count(), 0);
    }

    #[test]
    fn a_report_has_the_mode_of_the_one_before() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("report.json");
        fs::write(&path, "old").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        write(&path, &json!(1)).expect("written");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn where_no_file_may_be_put_beside_it_a_report_is_written_in_place() {
        let place = tempfile::tempdir().expect("a folder");
        // No room for a longer name (NAME_MAX).
        let path = place.path().join("r".repeat(250));
        fs::write(&path, "the one before, which is longer").expect("written");
        check(&path).expect("could be written");
        write(&path, &json!(1)).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("reads"), "1\n");
        assert_eq!(fs::read_dir(place.path()).expect("lists").count(), 1);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_written_through() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("report.json");
        let link = place.path().join("link");
        std::os::unix::fs::symlink("report.json", &link).expect("linked");
        check(&link).expect("could be written");
        write(&link, &json!(1)).expect("written");
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&path).expect("reads"), "1\n");
    }

    #[test]
    fn a_look_ahead_leaves_what_is_there() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("report.json");
        check(&path).expect("could be written");
        assert_eq!(fs::read_dir(place.path()).expect("lists").count(), 0);
        fs::write(&path, "old").expect("written");
        check(&path).expect("could be written");
        assert_eq!(fs::read_to_string(&path).expect("reads"), "old");
        check(Path::new("/dev/null")).expect("could be written");
    }
}
