//! What may be typed about strategies in registries.

use std::path::PathBuf;

use clap::Args;

/// How registries are used.
#[derive(Clone, Debug, Default, Args)]
pub struct RegistryArguments {
    /// The trust policy: which keys may have signed which strategies [default: trust.toml beside the
    /// configuration, or here, where there is one].
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// Takes strategies of registries from the cache alone.
    #[arg(long)]
    pub offline: bool,
    /// A registry that may be spoken to without encryption; this machine itself always may. May be
    /// given several times.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub plain_http: Vec<String>,
    /// A host that a registry may point to for its files. May be given several times.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow_redirect: Vec<String>,
}

#[derive(Debug, Args)]
pub struct PushArguments {
    /// PATH.wasm or PATH.rhai.
    #[arg(value_name = "FILE")]
    pub file: String,
    /// Where to: HOST/REPOSITORY:TAG.
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Where its source is, such as the address of its repository.
    #[arg(long, value_name = "URL")]
    pub source: Option<String>,
    /// Lets the tag name this strategy when it names another already.
    #[arg(long)]
    pub move_tag: bool,
    #[command(flatten)]
    pub registry: RegistryArguments,
    /// Print one JSON object: `ref`, `digest`.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PullArguments {
    /// HOST/REPOSITORY:TAG, or with @DIGEST.
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The file to write, NAME.wasm or NAME.rhai, which must not be there; without it the strategy goes to
    /// the cache alone.
    #[arg(long = "to", value_name = "FILE")]
    pub to: Option<PathBuf>,
    #[command(flatten)]
    pub registry: RegistryArguments,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct AddArguments {
    /// HOST/REPOSITORY:TAG.
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Notes it although the trust policy names keys for it and none of them has signed it.
    #[arg(long)]
    pub unsigned: bool,
    #[command(flatten)]
    pub registry: RegistryArguments,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct UpdateArguments {
    /// HOST/REPOSITORY:TAG [default: all that the lock file has].
    #[arg(value_name = "REF")]
    pub references: Vec<String>,
    /// Takes an older version than the lock file has.
    #[arg(long)]
    pub allow_downgrade: bool,
    /// Takes what the trust policy names keys for and none of them has signed.
    #[arg(long)]
    pub unsigned: bool,
    #[command(flatten)]
    pub registry: RegistryArguments,
    /// Print one JSON object a strategy.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RemoveArguments {
    /// HOST/REPOSITORY:TAG.
    #[arg(value_name = "REF", required = true)]
    pub references: Vec<String>,
}

#[derive(Debug, Args)]
pub struct KeygenArguments {
    /// The names of the two files without their endings: NAME.key and NAME.pub, which must not be there.
    #[arg(value_name = "NAME", default_value = "strategies")]
    pub name: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SignArguments {
    /// HOST/REPOSITORY@DIGEST, as `push` prints it: what is signed is what was reviewed.
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The encrypted private key; COSIGN_PASSWORD opens it, or the password that is asked for.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    #[command(flatten)]
    pub registry: RegistryArguments,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SignatureArguments {
    /// HOST/REPOSITORY:TAG, or with @DIGEST.
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The public key that must have signed it [default: one that the trust policy names for it].
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    #[command(flatten)]
    pub registry: RegistryArguments,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PruneArguments {
    /// Removes what was not used for so many days; 0 removes all.
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub unused: u32,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
