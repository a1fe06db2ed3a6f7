//! `selvedge config check`: reads the configuration as `start` would.

use crate::operate::cli::NodeFlags;
use crate::operate::commands::serve::credentials;
use crate::operate::config::NodeConfig;
use crate::operate::failure::CommandFailure;
use crate::operate::node;
use crate::operate::output::Printer;
use crate::operate::peer;

/// All that `start` does before it opens anything; its application could be built.
pub(crate) fn check(printer: Printer, flags: &NodeFlags) -> Result<(), CommandFailure> {
    let config = NodeConfig::load(flags)?;
    if let Some(files) = peer::required(&config)? {
        drop(peer::read(&config, &files)?);
    }
    if !config.is_storage() {
        let (tls, _) = credentials(printer, &config)?;
        node::check(&config, &tls, config.tls.browsers.as_ref())?;
    }
    printer.result(&config, |config| match toml::to_string(config) {
        Ok(text) => text.trim_end().to_owned(),
        Err(error) => error.to_string(),
    });
    Ok(())
}
