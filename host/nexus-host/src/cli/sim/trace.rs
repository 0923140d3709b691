//! `--trace`: every event of a run, a line each.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::cli::{CliError, Kind};
use crate::runtime::shown;

/// The file, while it is written.
pub(super) struct Trace {
    path: PathBuf,
    file: Rc<RefCell<BufWriter<File>>>,
    failed: Rc<RefCell<Option<io::Error>>>,
}

impl Trace {
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        let file = File::create(path).map_err(|error| of_file(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            file: Rc::new(RefCell::new(BufWriter::new(file))),
            failed: Rc::default(),
        })
    }

    /// What a world hands its lines to.
    pub(super) fn sink(&self) -> nexus_sim::TraceSink {
        let (file, failed) = (self.file.clone(), self.failed.clone());
        Box::new(move |line| {
            if let Err(error) = writeln!(file.borrow_mut(), "{line}") {
                failed.borrow_mut().get_or_insert(error);
            }
        })
    }

    /// Writes the rest.
    pub(super) fn finish(self) -> Result<(), CliError> {
        let flushed = self.file.borrow_mut().flush();
        match self.failed.borrow_mut().take().map_or(flushed, Err) {
            Ok(()) => Ok(()),
            Err(error) => Err(of_file(&self.path, &error)),
        }
    }
}

fn of_file(path: &Path, error: &io::Error) -> CliError {
    CliError::new(Kind::Host, format!("{}: {error}", shown::path(path)))
}
