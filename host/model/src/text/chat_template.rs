//! The chat template of a checkpoint in transformers' layout: how its own files put messages to
//! the model.

use minijinja::{Environment, ErrorKind, Value as JinjaValue, filters, tests as jinja_tests};
use minijinja_contrib::pycompat;
use serde::Deserialize;
use serde_json::{Value, json};

use super::templates::{SYSTEM, Templates};
use super::{BEGIN_OF_IMAGE, BOS, END_OF_IMAGE, EOS, IMAGE, IMAGE_PLACEHOLDER, PAD};
use super::{PROMPT, QUESTION};
use crate::checkpoint::source::{CheckpointSource, parse_json};
use crate::error::{Error, Result};

/// The template alone.
const JINJA: &str = "chat_template.jinja";
/// Files of JSON with it as a field, in the order in which transformers looks.
const JSON: [&str; 2] = ["chat_template.json", "tokenizer_config.json"];
const FIELD: &str = "chat_template";
const PROCESSOR: &str = "processor_config.json";
/// Steps that rendering may take: Janus-Pro's template takes some hundred.
const FUEL: u64 = 10_000;
/// Bytes of a template, and of what it makes: Janus-Pro's has 1,300 and makes 300.
const MOST_BYTES: usize = 16 << 10;
/// Times that a template may join or multiply texts: each may double one.
const MOST_JOINS: usize = 12;
/// What a template could call itself by, and so do without end what is bounded otherwise.
const REFUSED: [&str; 3] = ["macro", "recursive", "namespace"];
/// Python's methods of strings and dictionaries that a template may use: none makes much of little.
const METHODS: [&str; 14] = [
    "capitalize",
    "endswith",
    "get",
    "items",
    "keys",
    "lower",
    "lstrip",
    "rstrip",
    "split",
    "startswith",
    "strip",
    "title",
    "upper",
    "values",
];

/// What the files of JSON say of it.
#[derive(Deserialize)]
struct Holder {
    chat_template: Option<Held>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Held {
    One(String),
    /// Several for different uses; the one called `default` is for conversations.
    Several(Vec<Named>),
}

#[derive(Deserialize)]
struct Named {
    name: String,
    template: String,
}

/// What `processor_config.json` says of conversations.
#[derive(Deserialize)]
struct Processor {
    use_default_system_prompt: Option<bool>,
}

/// A Jinja template of messages.
struct ChatTemplate {
    /// Where it stands, for messages.
    file: String,
    jinja: String,
}

/// Templates as the checkpoint's own chat template gives them, or `None` where it has none.
///
/// What transformers' processor (models/janus/processing_janus.py) adds around the template comes
/// with it: begin of sentence, the system prompt before a question unless
/// `processor_config.json` does without, begin and end of an image that is seen, and begin of the
/// image that is drawn.
///
/// # Errors
/// When a file does not parse, the template fails, or what it makes has not the image and the text
/// in it once each.
pub(super) fn templates(source: &CheckpointSource) -> Result<Option<Templates>> {
    let Some(template) = ChatTemplate::read(source)? else {
        return Ok(None);
    };
    let text = |text: &str| json!({ "type": "text", "text": text });
    let drawing = template.render(&[text(PROMPT)], &[PROMPT])?;
    let image = json!({ "type": "image" });
    let asking = template.render(&[image, text(QUESTION)], &[QUESTION, IMAGE_PLACEHOLDER])?;
    let asking = asking.replace(
        IMAGE_PLACEHOLDER,
        &format!("{BEGIN_OF_IMAGE}{IMAGE}{END_OF_IMAGE}"),
    );
    let system = match source.read(PROCESSOR)? {
        Some(bytes) => {
            let processor: Processor = parse_json(&source.file_name(PROCESSOR), &bytes)?;
            processor.use_default_system_prompt.unwrap_or(true)
        }
        None => true,
    };
    let system = match system {
        true => format!("{SYSTEM}\n\n"),
        false => String::new(),
    };
    Ok(Some(Templates::asking_in_sentences(
        format!("{BOS}{drawing}{BEGIN_OF_IMAGE}"),
        format!("{BOS}{system}{asking}"),
    )))
}

impl ChatTemplate {
    fn read(source: &CheckpointSource) -> Result<Option<ChatTemplate>> {
        if let Some(bytes) = source.read(JINJA)? {
            let file = source.file_name(JINJA);
            let jinja = String::from_utf8(bytes.into_owned()).map_err(|_| Error::Config {
                file: file.clone(),
                field: FIELD.into(),
                value: "not UTF-8".into(),
                expected: "a Jinja template".into(),
            })?;
            return Ok(Some(ChatTemplate { file, jinja }));
        }
        for name in JSON {
            let Some(bytes) = source.read(name)? else {
                continue;
            };
            let file = source.file_name(name);
            let holder: Holder = parse_json(&file, &bytes)?;
            let jinja = match holder.chat_template {
                Some(Held::One(jinja)) => Some(jinja),
                Some(Held::Several(several)) => (several.into_iter())
                    .find(|named| named.name == "default")
                    .map(|named| named.template),
                None => None,
            };
            if let Some(jinja) = jinja {
                return Ok(Some(ChatTemplate { file, jinja }));
            }
        }
        Ok(None)
    }

    /// What the template makes of one message of the user, up to the answer, without begin of
    /// sentence. Each of `parts` must be in it once.
    fn render(&self, content: &[Value], parts: &[&str]) -> Result<String> {
        self.check()?;
        let rendered = self.try_render(content).map_err(|error| {
            let reason = match error.detail() {
                Some(detail) => format!("{}: {detail}", error.kind()),
                None => error.kind().to_string(),
            };
            let line = error.line().map(|line| format!(" in line {line}"));
            self.wrong(
                format!(
                    "a template that fails{} ({reason})",
                    line.unwrap_or_default()
                ),
                "a Jinja template of messages, as transformers runs it".into(),
            )
        })?;
        for part in parts {
            if rendered.matches(part).count() != 1 {
                return Err(self.wrong(
                    format!("a template that makes {rendered:?}"),
                    format!("one that makes a text with one `{part}`"),
                ));
            }
        }
        if rendered.contains(IMAGE) {
            let expected =
                format!("one that makes a text without `{IMAGE}`, which means the image here");
            return Err(self.wrong(format!("a template that makes {rendered:?}"), expected));
        }
        let rendered = rendered.strip_prefix(BOS).unwrap_or(&rendered);
        Ok(rendered.to_owned())
    }

    /// The library bounds a template's steps; what these may make of memory is bounded by what a
    /// template may say.
    fn check(&self) -> Result<()> {
        let found = self.jinja.len();
        if found > MOST_BYTES {
            let expected = format!("at most {MOST_BYTES}");
            return Err(self.wrong(format!("{found} bytes long"), expected));
        }
        let joins = self.jinja.matches(['+', '*', '~']).count();
        if joins > MOST_JOINS {
            let expected = format!("one with at most {MOST_JOINS}");
            return Err(self.wrong(
                format!("a template with {joins} of `+`, `*` and `~`"),
                expected,
            ));
        }
        match REFUSED.iter().find(|word| self.jinja.contains(**word)) {
            Some(word) => Err(self.wrong(
                format!("a template with `{word}`"),
                "one of loops, conditions and variables".into(),
            )),
            None => Ok(()),
        }
    }

    fn wrong(&self, value: String, expected: String) -> Error {
        Error::Config {
            file: self.file.clone(),
            field: FIELD.into(),
            value,
            expected,
        }
    }

    /// Rendered as transformers does (utils/chat_template_utils.py): blocks take the line's blanks
    /// with them, and strings have Python's methods.
    fn try_render(&self, content: &[Value]) -> std::result::Result<String, minijinja::Error> {
        let environment = environment();
        let messages = json!([{ "role": "user", "content": content }]);
        let context = json!({
            "messages": messages,
            "add_generation_prompt": true,
            "bos_token": BOS,
            "eos_token": EOS,
            "pad_token": PAD,
        });
        let mut rendered = Bounded(Vec::new());
        environment
            .template_from_str(&self.jinja)?
            .render_captured_to(JinjaValue::from_serialize(&context), &mut rendered)?;
        String::from_utf8(rendered.0)
            .map_err(|_| minijinja::Error::new(ErrorKind::WriteFailure, "no UTF-8"))
    }
}

/// What templates may use.
fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(|state, value, method, arguments| {
        if !METHODS.contains(&method) {
            return Err(ErrorKind::UnknownMethod.into());
        }
        pycompat::unknown_method_callback(state, value, method, arguments)
    });
    environment.add_function("raise_exception", raise_exception);
    environment.add_filter("capitalize", filters::capitalize);
    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("items", filters::items);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("list", filters::list);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("title", filters::title);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);
    environment.add_test("defined", jinja_tests::is_defined);
    environment.add_test("iterable", jinja_tests::is_iterable);
    environment.add_test("mapping", jinja_tests::is_mapping);
    environment.add_test("none", jinja_tests::is_none);
    environment.add_test("sequence", jinja_tests::is_sequence);
    environment.add_test("string", jinja_tests::is_string);
    environment.add_test("undefined", jinja_tests::is_undefined);
    environment
}

fn raise_exception(message: String) -> std::result::Result<JinjaValue, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// Takes no more than [`MOST_BYTES`].
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_BYTES {
            return Err(std::io::Error::other("it makes too long a text"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made like those of published checkpoints: methods of Python's strings, variables that are
    /// set in blocks, and a look at the content before.
    const PYTHONIC: &str = "\
{%- set ends = ['\\n\\n', eos_token] -%}
{%- for message in messages -%}
  {%- if message['role']|lower == 'user' -%}<|User|>: {% else -%}
    {{ message['role'].capitalize() }}: {% endif -%}
  {%- for part in message['content'] -%}
    {%- if part['type'] == 'image' -%}
      {{ '' if loop.first else '\\n' }}<image_placeholder>{{ '' if loop.last else '\\n' }}
    {%- else -%}
      {%- set text = part['text'].lstrip() if loop.first else part['text'] -%}
      {%- set before = message['content'][loop.index0 - 1]['type'] -%}
      {{ ' ' + text if not loop.first and before == 'text' else text }}
    {%- endif -%}
  {%- endfor -%}
  {{ ends[0] if message['role'] == 'user' else ends[1] }}
{%- endfor -%}
{% if add_generation_prompt %}<|Assistant|>:{% endif %}";

    fn of(name: &'static str, content: &str) -> (tempfile::TempDir, CheckpointSource) {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(name), content).expect("written");
        let source = CheckpointSource::Directory(folder.path().to_owned());
        (folder, source)
    }

    #[test]
    fn a_template_with_pythons_methods_says_what_the_authors_do() {
        let (_folder, source) = of(JINJA, PYTHONIC);
        let found = templates(&source).expect("renders");
        assert_eq!(found, Some(Templates::janus(true)));
    }

    #[test]
    fn it_is_found_in_json_and_the_system_prompt_can_be_left_out() {
        let named = json!({ "chat_template": [
            { "name": "tool_use", "template": "{{ 1 / 0 }}" },
            { "name": "default", "template": PYTHONIC },
        ]});
        for content in [json!({ "chat_template": PYTHONIC }), named] {
            let (folder, source) = of(JSON[1], &content.to_string());
            std::fs::write(folder.path().join(JSON[0]), "{}").expect("written");
            let no_system = r#"{"use_default_system_prompt": false}"#;
            std::fs::write(folder.path().join(PROCESSOR), no_system).expect("written");
            let found = templates(&source).expect("renders").expect("is there");
            let expected = Templates::janus(true).ask;
            assert_eq!(found.ask, expected.replace(&format!("{SYSTEM}\n\n"), ""));
        }
        let (_folder, source) = of(JSON[0], "{}");
        assert_eq!(templates(&source).expect("reads"), None);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (jinja, expected) in [
            ("{% for %}", "syntax error"),
            ("line\n{{ messages[0].content.nothing() }}", "in line 2"),
            ("{{ raise_exception('only tools') }}", "only tools"),
            ("{{ range(10000000) }}", "fails"),
            ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "`macro`"),
            (
                "{% set n = namespace() %}{% set n.x = n %}{{ n }}",
                "`namespace`",
            ),
            ("{{ '%.1000000000f'|format(1.5) }}", "fails"),
            ("{{ '{:>1000000000}'.format('x') }}", "fails"),
            ("{{ [1]|batch(1000000000, 'x')|list }}", "fails"),
            (
                &"{% set x = 'x' ~ 'x' %}".repeat(40),
                "40 of `+`, `*` and `~`",
            ),
            (&"{% if 0 %}{% endif %}".repeat(8000), "168000 bytes long"),
            ("{{ 'xxxxxxxx' * 100000 }}", "fails"),
            ("{prompt} {image}", "`{image}`"),
            ("<|User|>:", "a text with one `{prompt}`"),
            (
                "{{ messages[0].content[-1].text }}",
                "`<image_placeholder>`",
            ),
        ] {
            let (_folder, source) = of(JINJA, jinja);
            let error = templates(&source).expect_err(jinja).to_string();
            assert!(error.contains(JINJA), "{jinja}: {error}");
            assert!(error.contains(expected), "{jinja}: {error}");
        }
    }
}
