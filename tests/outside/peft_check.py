"""Our adapter files against Hugging Face's PEFT, and our GGUF files against the gguf package.

The base model is rebuilt in transformers from the GGUF file's weights, so that both sides compute with the same
numbers; log-probabilities of the golden tokens are compared. Prints a line for each comparison; exit code 1 if
any is off. With --write-golden it only writes two adapters that PEFT made, and what PEFT computes with them, for
tests that run where PEFT is not installed.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import tempfile
import warnings

import gguf
import numpy as np
import peft
import torch
import transformers
from safetensors.numpy import load_file

TOLERANCE = 1e-3  # of a log-probability: f32 on both sides
PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
# What people set in a LoraConfig, alone and together.
PEFT_CASES = {
    "plain": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
    "all-linear": dict(r=2, lora_alpha=4, target_modules="all-linear"),
    "rsLoRA": dict(r=8, lora_alpha=4, target_modules=["q_proj", "k_proj", "down_proj"], use_rslora=True),
    "patterns": dict(
        r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "up_proj"],
        rank_pattern={"layers.0.self_attn.q_proj": 8, "up_proj": 3, r".*\.[34]\.self_attn\.(q|k)_proj": 2},
        alpha_pattern={"k_proj": 3, "^model.layers.1.mlp.up_proj": 20},
    ),
    "patterns, rsLoRA": dict(
        r=4, lora_alpha=6, target_modules=["v_proj", "o_proj"], use_rslora=True, rank_pattern={"o_proj": 16}
    ),
    "some layers": dict(r=4, lora_alpha=8, target_modules=["k_proj", "gate_proj"], layers_to_transform=[0, 3]),
    "an expression": dict(r=4, lora_alpha=8, target_modules=r"model\.layers\.(1|2)\..*\.(q|o|down)_proj"),
    "excluded": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"],
                     exclude_modules=["layers.2.self_attn.q_proj"]),
    "bias": dict(r=4, lora_alpha=8, target_modules=["q_proj"], bias="lora_only"),
}
DORA_CASES = {
    "DoRA": dict(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj", "down_proj"], use_dora=True),
    "DoRA, patterns": dict(r=4, lora_alpha=8, target_modules=["q_proj", "o_proj"], use_dora=True, use_rslora=True,
                           rank_pattern={"q_proj": 2}, layers_to_transform=[1, 4]),
}
# Small ones for tests/golden/peft_adapter.
GOLDEN_CASES = {
    "patterns": dict(
        r=1, lora_alpha=3, target_modules=["q_proj", "k_proj", "down_proj"], layers_to_transform=[0, 3], use_rslora=True,
        rank_pattern={r"layers\.3\.self_attn\.(q|k)_proj": 3}, alpha_pattern={"k_proj": 5},
    ),
    "dora": dict(r=2, lora_alpha=4, target_modules=r".*\.(1|4)\.self_attn\.(q|v)_proj", use_dora=True),
}


def separate_heads(weight, heads):
    """Rows of q and k from GGUF's order to Hugging Face's: even rows of a head first, then odd."""
    by_pair = weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
    return by_pair.swapaxes(1, 2).reshape(weight.shape)


class Base:
    """A GGUF model in F32 and the same in transformers."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.tensors = {tensor.name: np.array(tensor.data, np.float32) for tensor in reader.tensors}
        self.architecture = bytes(reader.fields["general.architecture"].parts[-1]).decode()
        key = lambda name: reader.fields[f"{self.architecture}.{name}"].parts[-1][0].item()
        has_rope_base = f"{self.architecture}.rope.freq_base" in reader.fields
        self.heads = key("attention.head_count")
        self.kv_heads = key("attention.head_count_kv")
        self.layers = key("block_count")
        kinds = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config}
        self.config = kinds[self.architecture](
            vocab_size=self.tensors["token_embd.weight"].shape[0],
            hidden_size=key("embedding_length"),
            intermediate_size=key("feed_forward_length"),
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            rms_norm_eps=key("attention.layer_norm_rms_epsilon"),
            rope_theta=key("rope.freq_base") if has_rope_base else 10000.0,
            max_position_embeddings=key("context_length"),
            tie_word_embeddings="output.weight" not in self.tensors,
            attn_implementation="eager",
        )

    def hugging_face_weight(self, layer, module, tensors=None):
        weight = (tensors or self.tensors)[f"blk.{layer}.{PARTS[module]}.weight"]
        if self.architecture != "llama":
            return weight
        heads = {"attn_q": self.heads, "attn_k": self.kv_heads}.get(PARTS[module])
        return separate_heads(weight, heads) if heads else weight

    def model(self):
        model = transformers.AutoModelForCausalLM.from_config(self.config)
        state = {
            "model.embed_tokens.weight": self.tensors["token_embd.weight"],
            "model.norm.weight": self.tensors["output_norm.weight"],
            "lm_head.weight": self.tensors.get("output.weight", self.tensors["token_embd.weight"]),
        }
        for layer in range(self.layers):
            prefix = f"model.layers.{layer}."
            state[prefix + "input_layernorm.weight"] = self.tensors[f"blk.{layer}.attn_norm.weight"]
            state[prefix + "post_attention_layernorm.weight"] = self.tensors[f"blk.{layer}.ffn_norm.weight"]
            for module in PARTS:
                state[prefix + module + ".weight"] = self.hugging_face_weight(layer, module)
                bias = self.tensors.get(f"blk.{layer}.{PARTS[module]}.bias")
                if bias is not None:
                    state[prefix + module + ".bias"] = bias
        model.load_state_dict({name: torch.tensor(value) for name, value in state.items()}, strict=True)
        return model.eval()


class Check:
    """Comparisons over one base model."""

    def __init__(self, arguments, model, folder):
        self.tool = arguments.tool
        self.model_path = str(arguments.data / f"models/{model}.gguf")
        self.golden_adapter = str(arguments.data / "golden/peft-adapter")  # of stories260K
        self.tokens = json.loads((arguments.data / f"golden/{model}.json").read_text())["tokens"]
        self.folder = folder
        self.base = Base(self.model_path)
        self.failed = False
        (folder / "tokens.json").write_text(json.dumps(self.tokens))

    def run(self, *arguments):
        done = subprocess.run([self.tool, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"fleetune-model {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done.stdout

    def ours(self, model=None, adapter=None):
        """Log-probabilities that fleetune-model gives."""
        arguments = ["perplexity", "--model", model or self.model_path, "--tokens", self.folder / "tokens.json", "--json"]
        if adapter:
            arguments += ["--adapter", adapter]
        return np.array(json.loads(self.run(*arguments))["next_token_logprob"])

    def theirs(self, model):
        with torch.no_grad():
            logits = model(torch.tensor([self.tokens])).logits[0].double()
        chosen = torch.log_softmax(logits[:-1], -1).gather(1, torch.tensor(self.tokens[1:])[:, None])
        return chosen[:, 0].numpy()

    def compare(self, what, got, expected, tolerance=TOLERANCE):
        off = float(np.max(np.abs(np.asarray(got) - np.asarray(expected))))
        good = off <= tolerance
        self.failed |= not good
        print(f"{'ok  ' if good else 'FAIL'} {what}: {off:.2e} apart at most, allowed {tolerance:.0e}")

    def expect(self, what, good):
        self.failed |= not good
        print(f"{'ok  ' if good else 'FAIL'} {what}")

    def peft_made(self, name, options):
        """An adapter that PEFT made and saved: B and magnitudes are random, so that every module does something."""
        torch.manual_seed(len(name))
        model = peft.get_peft_model(self.base.model(), peft.LoraConfig(task_type="CAUSAL_LM", **options)).eval()
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if ".lora_B." in parameter_name:
                    parameter.normal_(std=0.1)
                if ".lora_magnitude_vector." in parameter_name:
                    parameter.mul_(torch.empty_like(parameter).uniform_(0.8, 1.2))
        folder = self.folder / name.replace(" ", "_")
        model.save_pretrained(folder, save_embedding_layers=False)
        return model, folder

    def write_golden(self, target):
        for name, options in GOLDEN_CASES.items():
            model, folder = self.peft_made(name, options)
            (target / name).mkdir(parents=True, exist_ok=True)
            for file in ["adapter_config.json", "adapter_model.safetensors"]:
                shutil.copy(folder / file, target / name / file)
            expected = {"tokens": self.tokens, "next_token_logprob": [round(x, 6) for x in self.theirs(model)]}
            (target / name / "expected.json").write_text(json.dumps(expected) + "\n")

    def the_base(self):
        self.compare(f"{self.base.architecture}: the base model itself", self.theirs(self.base.model()), self.ours())

    def ours_in_peft(self, adapter):
        fta, folder = self.folder / "ours.fta", self.folder / "exported"
        self.run("convert", "--model", self.model_path, adapter, fta, "--format", "fleetune")
        self.run("convert", "--model", self.model_path, fta, folder, "--format", "peft")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # PEFT only warns of keys that it misses
            model = peft.PeftModel.from_pretrained(self.base.model(), folder).eval()
        held = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
        written = load_file(folder / "adapter_model.safetensors")
        same = set(held) == set(written) and all(np.array_equal(held[name].numpy(), written[name]) for name in written)
        self.expect("what we export is all that PEFT holds, bit by bit", same)
        self.compare("exported, applied by PEFT", self.theirs(model), self.ours(adapter=fta))

    def theirs_in_ours(self, names):
        unadapted = self.ours()
        for name in names:
            options = PEFT_CASES[name]
            model, folder = self.peft_made(name, options)
            expected = self.theirs(model)
            self.expect(f"{name}: the adapter does something", np.max(np.abs(expected - unadapted)) > 20 * TOLERANCE)
            self.compare(f"{name}: PEFT's adapter, applied by us", self.ours(adapter=folder), expected)
            gguf_path = self.folder / "theirs.gguf"
            self.run("convert", "--model", self.model_path, folder, gguf_path, "--format", "gguf")
            self.compare(f"{name}: the same through GGUF", self.ours(adapter=gguf_path), expected)

    def dora(self):
        merged, fta = self.folder / "merged.gguf", self.folder / "dora.fta"
        unadapted = self.ours()
        for name, options in DORA_CASES.items():
            model, folder = self.peft_made(name, options)
            expected = self.theirs(model)
            self.expect(f"{name}: the adapter does something", np.max(np.abs(expected - unadapted)) > 20 * TOLERANCE)
            self.compare(f"{name}: beside the base", self.ours(adapter=folder), expected)
            self.run("merge", "--model", self.model_path, "--adapter", folder, "--out", merged)
            self.compare(f"{name}: merged by us", self.ours(model=merged), expected)
            self.run("convert", "--model", self.model_path, folder, fta, "--format", "fleetune")
            self.ours_in_peft(fta)
            try:
                self.run("convert", "--model", self.model_path, folder, self.folder / "no.gguf", "--format", "gguf")
                self.expect(f"{name}: refused as a GGUF adapter", False)
            except RuntimeError as error:
                self.expect(f"{name}: refused as a GGUF adapter", "DoRA" in str(error))

    def dora_trained_by_us(self):
        """A DoRA adapter that our trainer made, in PEFT: what it learned, and where it began."""
        text, unadapted = self.folder / "stories.txt", self.ours()
        text.write_text("\n\n".join(f"One day, Lily saw {n} big red balls in the park. She was happy." for n in range(60)))
        for name, options in {"all projections": [], "B alone, of some": ["--factors", "b", "--targets", "q,k,down"]}.items():
            adapter = self.folder / "trained.fta"
            train = ["train", "--model", self.model_path, "--data", text, "--dora", "--rank", "4", "--sequence", "64"]
            self.run(*train, *options, "--micro-batch", "2", "--learning-rate", "0.01", "--steps", "20", "--out", adapter)
            self.expect(f"trained, {name}: it learned", np.max(np.abs(self.ours(adapter=adapter) - unadapted)) > 20 * TOLERANCE)
            self.ours_in_peft(adapter)

    def merged_weights(self):
        model, folder = self.peft_made("merging", PEFT_CASES["patterns"])
        merged = self.folder / "merged.gguf"
        self.run("merge", "--model", self.model_path, "--adapter", folder, "--out", merged)
        ours = Base(merged).tensors
        weights = model.merge_and_unload().state_dict()
        for module in PARTS:
            got = [self.base.hugging_face_weight(layer, module, ours) for layer in range(self.base.layers)]
            expected = [weights[f"model.layers.{layer}.{module}.weight"].numpy() for layer in range(self.base.layers)]
            self.compare(f"{module}: weights merged by us and by PEFT", got, expected, 1e-6)

    def gguf_adapter(self):
        """Our GGUF adapter, read by the gguf package and added by the format's rule."""
        adapter, merged = self.folder / "golden.gguf", self.folder / "merged.gguf"
        self.run("convert", "--model", self.model_path, self.golden_adapter, adapter, "--format", "gguf")
        self.run("merge", "--model", self.model_path, "--adapter", adapter, "--out", merged)
        reader = gguf.GGUFReader(adapter)
        text = lambda name: bytes(reader.fields[name].parts[-1]).decode()
        kind = [text("general.type"), text("adapter.type"), text("general.architecture")]
        self.expect(f"gguf reads our adapter's keys: {kind}", kind == ["adapter", "lora", "llama"])
        alpha = reader.fields["adapter.lora.alpha"].parts[-1][0].item()
        tensors = {tensor.name: np.array(tensor.data, np.float64) for tensor in reader.tensors}
        ours = Base(merged).tensors
        off = 0.0
        for name, a in tensors.items():
            if name.endswith(".lora_b"):
                continue
            base_name = name.removesuffix(".lora_a")
            expected = self.base.tensors[base_name] + alpha / a.shape[0] * tensors[base_name + ".lora_b"] @ a
            off = max(off, float(np.max(np.abs(ours[base_name] - expected))))
        self.expect("a GGUF adapter has A and B of 7 x 5 modules", len(tensors) == 2 * 7 * self.base.layers)
        self.compare("GGUF adapter added by the format's rule, and merged by us", off, 0, 1e-6)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True, help="fleetune-model")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="the shared test data")
    parser.add_argument("--without-training", action="store_true", help="the build has no trainer")
    parser.add_argument("--write-golden", type=pathlib.Path, metavar="FOLDER", help="write adapters instead of checking")
    arguments = parser.parse_args()
    print(f"peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        check = Check(arguments, "stories260K-f32", pathlib.Path(folder))
        if arguments.write_golden:
            check.write_golden(arguments.write_golden)
            return 0
        check.the_base()
        check.ours_in_peft(check.golden_adapter)
        check.theirs_in_ours(PEFT_CASES)
        check.dora()
        if arguments.without_training:
            print("skip DoRA trained by us: this build is without training")
        else:
            check.dora_trained_by_us()
        check.merged_weights()
        check.gguf_adapter()
    with tempfile.TemporaryDirectory() as folder:  # whose rows of q and k are not permuted
        halves = Check(arguments, "synthetic-qwen2-f32", pathlib.Path(folder))
        halves.the_base()
        halves.theirs_in_ours(["all-linear"])
        halves.ours_in_peft(halves.folder / "all-linear")
    return 1 if check.failed or halves.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
