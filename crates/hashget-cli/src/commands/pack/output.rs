//! Opening what an archive is written to.
//!
//! Invariant: what cannot be written to shows before the work. Only a whole archive is encrypted to its end, and sent.

use std::fs::File;
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use hashget::pack::Output;
use hashget::parity::Share;
use hashget::storage::{ArchiveSink, FileSink, StreamSink};
use hashget_backup::store::{Address, Patience, StoreError, StoreSink};

use super::destination::{Destination, Medium};
use crate::environment::Environment;
use crate::stores::classed;

/// Opens the output for the library.
pub(super) fn open<'e>(
    destination: &Destination,
    parity: Option<Share>,
    environment: &'e Environment<'_>,
) -> anyhow::Result<Output<'e>> {
    let is_plain = destination.recipients.is_empty();
    let sink: Box<dyn ArchiveSink + 'e> = match &destination.target {
        Medium::Nowhere => return Ok(Output::Nothing),
        Medium::File(file) if is_plain => {
            return Ok(match parity {
                Some(share) => Output::FileWithParity(file.clone(), share),
                None => Output::File(file.clone()),
            });
        }
        Medium::File(file) => Box::new(FileSink::create(file)?),
        Medium::Device(file) => {
            let device = fs_err::OpenOptions::new().write(true).open(file)?.into_parts().0;
            if is_plain {
                return Ok(Output::Open(device));
            }
            Box::new(StreamSink::new(device))
        }
        Medium::StandardOutput => {
            // The descriptor itself, since an archive must not be line-buffered.
            let output = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
            if is_plain {
                return Ok(Output::Open(output));
            }
            Box::new(StreamSink::new(output))
        }
        Medium::InStore(address, name) => Box::new(in_store(address, name, environment)?),
    };
    if is_plain {
        return Ok(Output::Sink(sink));
    }
    let recipients = environment.recipients(&destination.recipients)?;
    Ok(Output::Sink(recipients.sink(sink, environment.console).map_err(std::io::Error::from)?))
}

/// A sink that sends the archive once it is whole.
fn in_store<'e>(
    address: &Address,
    name: &str,
    environment: &'e Environment<'_>,
) -> anyhow::Result<StoreSink<'e>> {
    let store = environment.store(address, Patience::default())?;
    match store.open(name, environment.console) {
        Err(StoreError::NotThere { .. }) => {}
        Err(error) => return Err(classed(error).into()),
        Ok(_) => {
            let (store, name) = (store.shown().to_owned(), name.to_owned());
            return Err(classed(StoreError::Taken { store, name }).into());
        }
    }
    let spool =
        tempfile::tempfile().context("cannot make a file for what is to be sent: set TMPDIR")?;
    Ok(StoreSink::new(store, name, spool, environment.console))
}
