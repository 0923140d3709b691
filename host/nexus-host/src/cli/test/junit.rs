//! The tests as JUnit XML, which build servers read: the elements and attributes that all of them know.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use nexus_policy::explain::escape as escape_text;
use quick_xml::escape::escape;

use super::{CliError, Kind, Test, report};

/// The file, empty; what is there already and no report is not written over.
pub(super) fn create(path: &Path) -> Result<File, CliError> {
    let fail = |error: &dyn std::fmt::Display| {
        let path = escape_text(&path.display().to_string());
        CliError::new(Kind::Host, format!("{path}: {error}"))
    };
    if let Ok(file) = std::fs::metadata(path)
        && file.is_file()
        && file.len() > 0
    {
        let mut head = [0; 5];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
        if read.is_err() || head != *b"<?xml" {
            return Err(fail(&"it is there and no report: it is not written over"));
        }
    }
    File::create(path).map_err(|error| fail(&error))
}

pub(super) fn text(suite: &str, tests: &[Test], took: Duration) -> String {
    let failed = tests
        .iter()
        .filter(|test| test.failed > 0 && test.error.is_none());
    let errors = tests.iter().filter(|test| test.error.is_some());
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{}\" tests=\"{}\" \
         failures=\"{}\" errors=\"{}\" time=\"{:.3}\">\n",
        quoted(suite),
        tests.len(),
        failed.count(),
        errors.count(),
        took.as_secs_f64()
    );
    for test in tests {
        text.push_str(&format!(
            "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            quoted(suite),
            quoted(&test.name),
            test.took.as_secs_f64()
        ));
        if test.is_ok() {
            text.push_str("/>\n");
            continue;
        }
        // A failure is of the app, an error of the scenario or the machine.
        let kind = if test.error.is_some() {
            "error"
        } else {
            "failure"
        };
        let why = report::why(test);
        text.push_str(&format!(
            ">\n      <{kind} message=\"{}\">{}</{kind}>\n    </testcase>\n",
            quoted(why.lines().next().unwrap_or_default()),
            quoted(&why)
        ));
    }
    text + "  </testsuite>\n</testsuites>\n"
}

/// Fit for XML 1.0, which has no place for most control characters and two others (section 2.2), not even written out.
fn quoted(text: &str) -> String {
    let fit = |c: char| match c {
        '\n' | '\t' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        c => !c.is_control(),
    };
    let fit: String = text
        .chars()
        .map(|c| if fit(c) { c } else { '\u{fffd}' })
        .collect();
    escape(fit).into_owned()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn reject_a_file_that_is_no_report() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nexus.toml");
        std::fs::write(&path, "[app]\n").expect("written");
        create(&path).expect_err("somebody else's file");
        assert_eq!(std::fs::read(&path).expect("read"), b"[app]\n");
        std::fs::write(&path, "<?xml version").expect("written");
        create(&path).expect("a report of before");
    }

    fn test(name: &str) -> Test {
        Test {
            name: name.to_owned(),
            scenario: PathBuf::from("s.toml"),
            seeds: 1,
            failed: 0,
            time: Duration::ZERO,
            took: Duration::from_millis(20),
            until: Duration::ZERO,
            first: None,
            error: None,
        }
    }

    /// Goal: a build server can read it whatever an app wrote. Method: markup, quotes and control characters.
    #[test]
    fn what_an_app_wrote_is_no_markup() {
        let mut broken = test("b");
        broken.error = Some(CliError::new(
            Kind::Config,
            "<a> & \"b\" \u{1b}\u{ffff}[31m",
        ));
        let text = text("apps/<x>", &[test("a"), broken], Duration::from_secs(1));
        let head = "<testsuite name=\"apps/&lt;x&gt;\" tests=\"2\" failures=\"0\" errors=\"1\" time=\"1.000\">";
        assert!(text.contains(head), "{text}");
        let why = "<error message=\"&lt;a&gt; &amp; &quot;b&quot; \u{fffd}\u{fffd}[31m\">";
        assert!(text.contains(why), "{text}");
        assert!(text.contains("name=\"a\" time=\"0.020\"/>"), "{text}");
    }
}
