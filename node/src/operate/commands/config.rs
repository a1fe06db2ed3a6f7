//! `selvedge config check`: reads the configuration as `start` would.

use crate::operate::cli::NodeFlags;
use crate::operate::config::NodeConfig;
use crate::operate::failure::CommandFailure;
use crate::operate::output::Printer;

pub(crate) fn check(printer: Printer, flags: &NodeFlags) -> Result<(), CommandFailure> {
    let config = NodeConfig::load(flags)?;
    for file in config
        .tls
        .iter()
        .flat_map(|tls| [&tls.certificate, &tls.key])
        .chain(&config.token_file)
    {
        if let Err(error) = std::fs::File::open(file) {
            return Err(CommandFailure::file(file, &error));
        }
    }
    printer.result(&config, |config| match toml::to_string(config) {
        Ok(text) => text.trim_end().to_owned(),
        Err(error) => error.to_string(),
    });
    Ok(())
}
