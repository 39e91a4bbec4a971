//! What sharing a plugin of 30 kB costs, against a registry on this machine (`docker-registry`, which
//! `tests/needs.sh` installs).
//!
//! `cargo bench --profile release -p sc-registry` prints the fastest and the slowest of several turns of each
//! step, and for what comes from the cache the ratio to reading the same file and hashing it, in turns.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sc_registry::{About, Access, Cache, Caps, Digest, Kind, Reference, Registries, pack};

const TURNS: u32 = 20;
const CAPS: Caps = Caps {
    component_bytes: 32 << 20,
    script_bytes: 64 << 10,
};

struct Registry {
    process: Child,
    port: u16,
}

impl Registry {
    fn start(folder: &Path) -> Registry {
        let port = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let file = folder.join("config.yml");
        let configuration = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}/data}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n",
            folder.display()
        );
        fs::write(&file, configuration).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Registry { process, port }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The fastest and the slowest turn.
struct Turns(Vec<Duration>);

impl Turns {
    fn told(&self) -> String {
        let ms = |time: Option<&Duration>| time.unwrap().as_secs_f64() * 1e3;
        format!(
            "{:.2} to {:.2} ms",
            ms(self.0.iter().min()),
            ms(self.0.iter().max())
        )
    }

    fn fastest(&self) -> f64 {
        self.0.iter().min().unwrap().as_secs_f64()
    }
}

fn timed(times: &mut Turns, step: impl FnOnce()) {
    let begun = Instant::now();
    step();
    times.0.push(begun.elapsed());
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder.path());
    let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/margin.wasm");
    let bytes = fs::read(plugin).unwrap();
    let [mut push, mut pull, mut looked_up, mut cached, mut plain] =
        std::array::from_fn(|_| Turns(Vec::new()));
    for turn in 0..TURNS {
        let about = About {
            name: format!("margin-{turn}"),
            ..About::default()
        };
        // Each turn pushes another file, since a registry takes none twice.
        let bytes = [bytes.as_slice(), &turn.to_le_bytes()].concat();
        let name = format!("localhost:{}/team/margin:{turn}", registry.port);
        let reference: Reference = name.parse().unwrap();
        let cache = Cache::at(folder.path().join(format!("cache-{turn}")));
        // A process has a client of its own, so each step has one.
        let registries = |offline| Registries::new(cache.clone(), Access::default(), CAPS, offline);
        let mut digest = Digest::of(b"");
        timed(&mut push, || {
            let packed = pack(Kind::Component, bytes.clone(), &about).unwrap();
            digest = registries(false).push(&reference, &packed).unwrap();
        });
        timed(&mut pull, || {
            let registries = registries(false);
            let found = registries.resolve(&reference).unwrap();
            assert_eq!(
                registries
                    .pull(&reference, found, &mut |_, _| ())
                    .unwrap()
                    .bytes,
                bytes
            );
        });
        timed(&mut looked_up, || {
            let registries = registries(false);
            let found = registries.resolve(&reference).unwrap();
            assert!(
                registries
                    .pull(&reference, found, &mut |_, _| ())
                    .unwrap()
                    .from_cache
            );
        });
        timed(&mut cached, || {
            assert!(
                registries(true)
                    .pull(&reference, digest, &mut |_, _| ())
                    .unwrap()
                    .from_cache
            );
        });
        let file = folder.path().join("plain.wasm");
        fs::write(&file, &bytes).unwrap();
        timed(&mut plain, || {
            let read = fs::read(&file).unwrap();
            assert_eq!(Digest::of(&read), Digest::of(&bytes));
        });
    }
    println!("a plugin of {} bytes, {TURNS} turns", bytes.len() + 4);
    println!(
        "push                                        {}",
        push.told()
    );
    println!(
        "pull                                        {}",
        pull.told()
    );
    println!(
        "from the cache, with a look at the tag      {}",
        looked_up.told()
    );
    println!(
        "from the cache, by its digest               {}, {:.1} times reading the file and hashing it twice",
        cached.told(),
        cached.fastest() / plain.fastest()
    );
}
