"""What sc-host writes, read by transformers and PEFT: no key missing or unexpected, and the same
greedy image tokens and word logits as sc-host computes.

usage: check.py SC_HOST FIXTURES WORK
"""

import json
import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, JanusForConditionalGeneration

program, fixtures, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
base, adapter = fixtures / "janus-a", fixtures / "janus-a-lora"
inputs = {k: v for k, v in load_file(base / "expected.safetensors").items() if k.startswith("in.")}

# The paper's, as it stands in its appendix.
QUESTION = (
    "Does this image describe {prompt}? If it describes the scene, score 1; if it does not fully "
    "describe, score 0. Please answer in the following format: The score is {your score}."
)


def sc_host(*arguments):
    run = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}: {run.stdout}{run.stderr}")
    return json.loads(run.stdout)


def load(folder):
    model, info = JanusForConditionalGeneration.from_pretrained(
        folder, output_loading_info=True, dtype=torch.float32
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[kind]:
            sys.exit(f"{folder}: {kind}: {sorted(info[kind])}")
    return model.eval()


@torch.no_grad()
def computed(model):
    """Greedy image tokens under guidance 5, and word logits, of the fixture's inputs."""
    tokens = model.generate(
        input_ids=inputs["in.gen_ids"],
        attention_mask=inputs["in.gen_mask"],
        generation_mode="image",
        do_sample=False,
        guidance_scale=5.0,
    )
    answer = model(
        input_ids=inputs["in.input_ids"],
        attention_mask=inputs["in.attention_mask"],
        pixel_values=inputs["in.pixel_values"],
    )
    return {"out.gen_tokens": tokens.contiguous(), "out.text_logits": answer.logits.contiguous()}


def compare(name, model, *verified):
    """Holds sc-host against what a reference computes."""
    expected = work / f"{name}.safetensors"
    save_file({**inputs, **computed(model)}, expected)
    report = sc_host("model", "verify", *verified, "--expected", expected, "--json")
    for tensor in report["tensors"]:
        print(f"{name:10} {tensor['name']:18} largest relative error {tensor['max_rel']:.1e}")


def compare_words(folder, prompt):
    """Holds the tokens of a prompt and of a judgement against those of transformers' processor."""
    processor = AutoProcessor.from_pretrained(folder)
    given = sc_host("debug", "prompt", prompt, "--model", folder, "--json")

    def ids(mode, content, **images):
        messages = [{"role": "user", "content": content}]
        text = processor.apply_chat_template(messages, add_generation_prompt=True)
        return processor(text=text, generation_mode=mode, **images)["input_ids"][0]

    question = {"type": "text", "text": QUESTION.replace("{prompt}", prompt)}
    size = json.loads((folder / "config.json").read_text())["vision_config"]["image_size"]
    image = Image.new("RGB", (size, size))
    for what, expected in [
        ("draw", ids("image", [{"type": "text", "text": prompt}])),
        ("judge", ids("text", [{"type": "image"}, question], images=[image])),
    ]:
        if given[what]["ids"] != list(expected):
            sys.exit(f"{folder}: other tokens to {what}: {given[what]['ids']} and {expected}")
        print(f"{'words':10} the same {len(expected)} tokens to {what}")


sc_host("model", "export", base, "--adapter", adapter, "--format", "peft", "--to", work / "peft", "--json")
sc_host("model", "export", base, "--adapter", adapter, "--format", "hf", "--to", work / "hf", "--json")
sc_host(
    "model", "export", base, "--adapter", adapter, "--format", "original",
    "--to", work / "original", "--json",
)

plain = load(base)
names = {key for key in load_file(work / "peft" / "adapter_model.safetensors")}
adapted = PeftModel.from_pretrained(plain, work / "peft").eval()
loaded = {
    key.replace(".default", "") for key in adapted.state_dict() if ".lora_A." in key or ".lora_B." in key
}
if names != loaded:
    sys.exit(f"adapter keys that differ: {sorted(names ^ loaded)}")
compare("peft", adapted, base, "--adapter", work / "peft")
compare("hf", load(work / "hf"), work / "hf")
# transformers does not read the authors' layout: its weights are held against the same values.
compare("original", load(work / "hf"), work / "original")
sc_host("model", "synth", "tiny", "--out", work / "synth", "--json")
compare_words(work / "synth", "a red circle left of a blue square")
# And what becomes of the authors' layout.
sc_host("model", "synth", "tiny", "--layout", "original", "--out", work / "authors", "--json")
sc_host("model", "export", work / "authors", "--format", "hf", "--to", work / "theirs", "--json")
compare_words(work / "theirs", "a red circle left of a blue square")
print("transformers and PEFT agree")
