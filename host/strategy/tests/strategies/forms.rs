//! The forms of a strategy that are to decide the same: component, script, builtin, and what another
//! compiler makes of them.
//!
//! Where `REBUILT_GUESTS` names a folder with the components of `plugins/` as another compiler makes
//! them, these are further forms of the same strategies, and its interpreter runs the scripts once
//! more; `plugins/build.sh --check` does so.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs, slice};

use sc_strategy::{Grants, Runtime, StrategyRequest, StrategySet};

use crate::common::{file, runtime};

/// Inputs for each entry of the tables of twins: more than ten thousand in all.
pub const INPUTS: u32 = 840;

/// A builtin, a component or a script, and the sandbox that it is loaded in.
pub struct Form {
    pub source: String,
    pub runtime: &'static Runtime,
}

impl Form {
    fn new(source: String) -> Form {
        Form {
            source,
            runtime: runtime(),
        }
    }

    /// The strategy of that source, and what a rebuilt component or interpreter makes of it.
    pub fn all_of(source: String) -> Vec<Form> {
        let rebuilt = rebuilt_guests().and_then(|folder| {
            let path = Path::new(&source);
            match path.extension()?.to_str()? {
                "wasm" => Some(Form::new(
                    folder.join(path.file_name()?).to_str()?.to_owned(),
                )),
                "rhai" => Some(Form {
                    source: source.clone(),
                    runtime: rebuilt_interpreter(folder),
                }),
                _ => None,
            }
        });
        [Form::new(source)].into_iter().chain(rebuilt).collect()
    }
}

/// The folder that `REBUILT_GUESTS` names.
fn rebuilt_guests() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| env::var_os("REBUILT_GUESTS").map(PathBuf::from));
    folder.as_deref()
}

/// A sandbox with the interpreter in `folder`.
fn rebuilt_interpreter(folder: &Path) -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let interpreter = fs::read(folder.join("rhai.wasm")).unwrap();
        Runtime::with_cache_directory(*runtime().limits(), None)
            .unwrap()
            .with_interpreter(interpreter)
    })
}

/// A strategy in its forms, which are to decide the same.
pub struct Twins {
    /// Its role, as settings name it.
    pub role: &'static str,
    pub forms: Vec<Form>,
    /// Each is tried by itself, the empty one being the defaults.
    pub settings: &'static [&'static str],
    /// Each is tried, `model` being granted so many questions.
    pub questions: &'static [u32],
}

impl Twins {
    /// The component and the script `name`.
    pub fn named(role: &'static str, name: &str, settings: &'static [&'static str]) -> Twins {
        Twins {
            role,
            forms: [
                format!("plugins/{name}.wasm"),
                format!("scripts/{name}.rhai"),
            ]
            .iter()
            .flat_map(|path| Form::all_of(file(path)))
            .collect(),
            settings,
            questions: &[],
        }
    }

    /// With another form of it.
    pub fn and(mut self, form: &str) -> Twins {
        self.forms.extend(Form::all_of(form.to_owned()));
        self
    }

    /// Gives `check` each variant with all forms loaded, and the numbers of its inputs: `INPUTS` in
    /// all.
    pub fn each_variant(&self, mut check: impl FnMut(&[StrategySet], std::ops::Range<u32>)) {
        let questions: Vec<Option<u32>> = match self.questions {
            [] => vec![None],
            questions => questions.iter().copied().map(Some).collect(),
        };
        let variants: Vec<(&str, Option<u32>)> = self
            .settings
            .iter()
            .flat_map(|&setting| questions.iter().map(move |&count| (setting, count)))
            .collect();
        let share = INPUTS.div_ceil(u32::try_from(variants.len()).unwrap());
        for (variant, (setting, questions)) in (0..).zip(variants) {
            let sets: Vec<StrategySet> = self
                .forms
                .iter()
                .map(|form| self.load(form, setting, questions))
                .collect();
            // From 1, because inputs serve as rounds too.
            check(&sets, variant * share + 1..(variant + 1) * share + 1);
        }
    }

    fn load(&self, form: &Form, setting: &str, questions: Option<u32>) -> StrategySet {
        let settings = match setting {
            "" => Vec::new(),
            setting => vec![format!("{}.{setting}", self.role)],
        };
        let grants: Vec<String> = questions
            .map(|count| format!("model:{count}"))
            .into_iter()
            .collect();
        let request = StrategyRequest {
            grants: Grants::parse(&grants).unwrap(),
            ..StrategyRequest::of(slice::from_ref(&form.source), &settings)
        };
        StrategySet::load(&request, form.runtime).unwrap()
    }
}
