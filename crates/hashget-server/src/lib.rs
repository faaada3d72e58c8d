//! A server of shared knowledge: what is in public packages, for many machines. `docs/server.md` says what it does.
//!
//! Invariant: everything that must survive is in the server's folder, and is on the disk before a client is told so.

mod access;
mod app;
mod clock;
mod connections;
mod data_folder;
mod fetching;
mod form;
mod lingering;
mod measures;
mod refusal;
mod remembered;
mod routes;
mod scope;
mod served_file;
mod server_db;
mod settings;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use hashget::fetch::{BadOption, PoolFolder};
use hashget::hashdb::{HashDbError, KeysInMemory, LocalHashDb};
use tokio::net::TcpListener;

pub use clock::Clock;
pub use data_folder::{DataFolder, DataFolderError};
pub use scope::Scope;
pub use server_db::{ServerDb, ServerDbError, Token};
pub use settings::{Settings, SettingsError};

use access::Gate;
use app::App;
use fetching::Fetching;
use measures::Measures;
use remembered::Remembered;
use routes::operations::{READINESS, SIZE};

/// A server that is ready to serve.
pub struct Server {
    app: Arc<App>,
    /// Released last.
    _folder: DataFolder,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] DataFolderError),
    /// Its HashDB cannot be used.
    #[error("{0}")]
    HashDb(#[from] HashDbError),
    /// Its tokens and submissions cannot be used.
    #[error(transparent)]
    ServerDb(#[from] ServerDbError),
    /// A setting cannot be used.
    #[error("{0}")]
    Setting(#[from] BadOption),
}

impl Server {
    /// Opens the server in the folder `data`, which is made if it is missing, and goes on with what was submitted.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn open(data: &Path, settings: Settings, clock: Clock) -> Result<Self, ServerError> {
        let folder = DataFolder::open(data)?;
        let hashdb = Arc::new(LocalHashDb::open(data)?);
        let server_db = Arc::new(ServerDb::open(data)?);
        let fetching = Fetching::start(&settings.submissions, &hashdb, &server_db, &clock)?;
        let app = App {
            published: folder.published(),
            pool_dir: folder.pool(),
            pool: PoolFolder::new(&folder.pool()),
            uploads: App::uploads(),
            gate: Gate::new(&settings.limits),
            measures: Measures::new(),
            openapi: app::openapi(),
            settings,
            keys: KeysInMemory::load(Arc::clone(&hashdb))?,
            size: Remembered::new(SIZE),
            readiness: Remembered::new(READINESS),
            hashdb,
            server_db,
            fetching,
            clock,
        };
        Ok(Self { app: Arc::new(app), _folder: folder })
    }

    /// Answers requests until `stop` is ready; what is underway then is finished.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let router = app::router(Arc::clone(&self.app));
        tokio::select! {
            () = connections::serve(listener, router, &self.app.settings, stop) => {}
            never = self.app.measures.keep_small() => match never {},
        }
    }
}
