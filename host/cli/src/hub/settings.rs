//! The environment variables by which users of the hub's own tools steer them, read as those tools read
//! them.

use std::ffi::OsString;
use std::path::PathBuf;

use hf_hub::Cache;
use ureq::http::Uri;

use super::error::HubError;

const ENDPOINT: &str = "https://huggingface.co";
/// What switches something on.
const TRUE: [&str; 4] = ["1", "ON", "YES", "TRUE"];

/// What the environment says.
pub struct Settings {
    /// The hub's address, without a slash at its end.
    pub endpoint: String,
    /// Where models lie, a folder each.
    pub cache: Cache,
    /// Who is asking.
    pub token: Option<String>,
    /// The variable that forbids the network, if one does.
    pub offline: Option<&'static str>,
}

impl Settings {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// When a variable has a value that cannot be used, or there is no home folder for a cache.
    pub fn from_environment() -> Result<Settings, HubError> {
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        Settings::read(&|name| std::env::var_os(name), home)
    }

    fn read(
        variable: &dyn Fn(&str) -> Option<OsString>,
        user: Option<PathBuf>,
    ) -> Result<Settings, HubError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).map(|value| value.to_string_lossy().into_owned());
        let path = |name: &str| {
            let path = PathBuf::from(set(name)?);
            match (path.strip_prefix("~"), &user) {
                (Ok(rest), Some(user)) => Some(user.join(rest)),
                _ => Some(path),
            }
        };
        let is_on = |name: &str| {
            text(name).is_some_and(|value| TRUE.contains(&&*value.to_ascii_uppercase()))
        };

        let of_user = || user.as_ref().map(|user| user.join(".cache"));
        let home = path("HF_HOME").or_else(|| {
            let caches = path("XDG_CACHE_HOME").or_else(of_user)?;
            Some(caches.join("huggingface"))
        });
        let cache = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(home.as_ref()?.join("hub")))
            .ok_or(HubError::Setting {
                variable: "HF_HOME",
                value: "not set, and there is no home folder".into(),
                expected: "a folder to keep models in",
            })?;

        let token_file = path("HF_TOKEN_PATH").or_else(|| Some(home?.join("token")));
        let token = if is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            None
        } else {
            text("HF_TOKEN")
                .or_else(|| text("HUGGING_FACE_HUB_TOKEN"))
                .or_else(|| std::fs::read_to_string(token_file?).ok())
                .map(|token| token.trim().to_owned())
                .filter(|token| !token.is_empty())
        };
        if token
            .as_ref()
            .is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(HubError::Setting {
                variable: "HF_TOKEN",
                value: "no token".into(),
                expected: "one word of ASCII characters",
            });
        }

        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let usable = |address: Uri| {
            matches!(address.scheme_str(), Some("http" | "https"))
                && address.host().is_some_and(|host| !host.is_empty())
                && address.query().is_none()
        };
        if !endpoint.parse::<Uri>().is_ok_and(usable) {
            return Err(HubError::Setting {
                variable: "HF_ENDPOINT",
                value: format!("`{endpoint}`"),
                expected: "an address such as https://huggingface.co",
            });
        }
        let offline = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];
        Ok(Settings {
            endpoint,
            cache: Cache::new(cache),
            token,
            offline: offline.into_iter().find(|name| is_on(name)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, HubError> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(given, _)| *given == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Settings::read(&variable, Some(PathBuf::from("/home/user")))
    }

    #[track_caller]
    fn cache(variables: &[(&str, &str)]) -> PathBuf {
        let Ok(settings) = read(variables) else {
            panic!("{variables:?} can be used");
        };
        settings.cache.path().clone()
    }

    #[test]
    fn the_nearest_variable_places_the_cache() {
        let all = [
            ("HF_HUB_CACHE", "/a"),
            ("HUGGINGFACE_HUB_CACHE", "/b"),
            ("HF_HOME", "~/c"),
            ("XDG_CACHE_HOME", "/d"),
        ];
        for (from, expected) in [
            "/a",
            "/b",
            "/home/user/c/hub",
            "/d/huggingface/hub",
            "/home/user/.cache/huggingface/hub",
        ]
        .iter()
        .enumerate()
        {
            assert_eq!(cache(&all[from..]), Path::new(expected));
        }
        assert_eq!(cache(&[("HF_HOME", "")]), cache(&[]));
        assert!(Settings::read(&|_| None, None).is_err());
    }

    #[test]
    fn tokens_come_from_variables_and_from_the_file() {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::write(home.path().join("token"), "from-file\n").expect("written");
        let home = ("HF_HOME", home.path().to_str().expect("UTF-8"));
        let token = |more: &[(&str, &str)]| {
            let settings = read(&[&[home], more].concat());
            settings.map(|settings| settings.token).ok()
        };
        assert_eq!(token(&[]), Some(Some("from-file".into())));
        assert_eq!(
            token(&[("HF_TOKEN", " typed\n")]),
            Some(Some("typed".into()))
        );
        assert_eq!(token(&[("HF_TOKEN_PATH", "/nowhere")]), Some(None));
        assert_eq!(token(&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), Some(None));
        // It would be sent as a line of its own.
        assert_eq!(token(&[("HF_TOKEN", "a\r\nX-Other: b")]), None);
    }

    #[test]
    fn endpoints_are_addresses() {
        let endpoint = |value| read(&[("HF_ENDPOINT", value)]).map(|settings| settings.endpoint);
        assert_eq!(
            endpoint("http://127.0.0.1:8080/").ok().as_deref(),
            Some("http://127.0.0.1:8080")
        );
        for unusable in [
            "huggingface.co",
            "ftp://host",
            "https://",
            "/path",
            "http://a b",
        ] {
            assert!(endpoint(unusable).is_err(), "{unusable}");
        }
    }

    #[test]
    fn switches_take_the_words_of_the_hubs_tools() {
        let offline = |value| {
            let settings = read(&[("HF_HUB_OFFLINE", value)]);
            settings.map(|settings| settings.offline.is_some()).ok()
        };
        for on in ["1", "true", "Yes", "ON"] {
            assert_eq!(offline(on), Some(true), "{on}");
        }
        for off in ["", "0", "no", "off"] {
            assert_eq!(offline(off), Some(false), "{off}");
        }
    }
}
