"""Model folders that Hugging Face's libraries wrote, quantized by ours.

transformers makes models of random weights and saves them; tokenizers and sentencepiece learn their vocabularies. What
fleetune-model makes of a folder must give the same log-probabilities and the same tokens. Prints a line for each comparison; exit
code 1 if any is off.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import tempfile
import unicodedata

import gguf
import numpy as np
import sentencepiece
import tokenizers
import torch
import transformers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

TOLERANCE = 1e-3  # of a log-probability: f32 on both sides
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
SMALL = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=256)
# By name: class of the configuration, what differs from SMALL, type of the weights, tokenizer, size of a file.
MODELS = {
    "llama, a matrix for the output, BF16, in several files": (
        transformers.LlamaConfig, dict(rope_theta=50000.0, rms_norm_eps=1e-5), torch.bfloat16, "llama-bpe", "60KB"),
    "llama, tied, F16": (transformers.LlamaConfig, dict(tie_word_embeddings=True), torch.float16, "smollm", "5GB"),
    "llama, wide heads, F32": (transformers.LlamaConfig, dict(head_dim=24), torch.float32, "sentencepiece", "5GB"),
    "mistral, F32": (transformers.MistralConfig, dict(sliding_window=None), torch.float32, "sentencepiece", "5GB"),
    "qwen2, biases, tied, BF16": (
        transformers.Qwen2Config, dict(tie_word_embeddings=True), torch.bfloat16, "qwen2", "5GB"),
    "qwen2, F32, in several files": (transformers.Qwen2Config, dict(), torch.float32, "gpt-2", "100KB"),
}


def byte_level(name, corpus):
    """A byte-level vocabulary as models of this pre-tokenizer have it."""
    tokenizer = tokenizers.Tokenizer(models.BPE(ignore_merges=name == "llama-bpe"))
    isolated = lambda pattern: pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.pre_tokenizer = {
        "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
        "smollm": pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
        "qwen2": isolated(QWEN2),
        "llama-bpe": isolated(LLAMA3),
    }[name]
    if name == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train([str(corpus)], trainer)
    tokenizer.add_tokens(["<tool>"])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if name == "llama-bpe":
        begin = processors.TemplateProcessing(single="<|endoftext|> $A", pair="<|endoftext|> $A $B",
                                              special_tokens=[("<|endoftext|>", 0)])
        tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), begin])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|im_end|>",
                                                chat_template=CHATML)


def sentence_piece(corpus, folder):
    """A vocabulary that SentencePiece learned, in the form that transformers gives it."""
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "tokenizer"), model_type="bpe", vocab_size=900, byte_fallback=True,
        character_coverage=0.999, normalization_rule_name="identity", remove_extra_whitespaces=False,
        split_digits=True, allow_whitespace_only_pieces=True, minloglevel=2)
    return transformers.LlamaTokenizerFast(vocab_file=str(folder / "tokenizer.model"))


class Check:
    def __init__(self, arguments, folder):
        self.tool = arguments.tool
        self.data = arguments.data
        self.folder = folder
        self.failed = False
        separator = "__ggml_vocab_test__"
        given = (self.data / "vocab/ggml-vocab-qwen2.gguf.inp").read_text().split(f"\n{separator}\n")
        stories = (self.data / "text/tinystories_1000.txt").read_text()
        self.corpus = folder / "corpus.txt"
        self.corpus.write_text(stories[:400_000])
        self.texts = [unicodedata.normalize("NFC", text) for text in given if text]
        speeches = sorted((self.data / "shakespeare").glob("*.txt"))[:3]
        self.texts += [stories[:3000], *(path.read_text()[:1500] for path in speeches)]

    def run(self, *arguments, text=None):
        done = subprocess.run([self.tool, *map(str, arguments)], capture_output=True, input=text, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"fleetune-model {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done.stdout

    def expect(self, what, good):
        self.failed |= not good
        print(f"{'ok  ' if good else 'FAIL'} {what}")

    def tokens_are_the_same(self, name, tokenizer, model):
        differing = []
        for text in self.texts:
            expected = tokenizer.encode(text, add_special_tokens=False)
            got = json.loads(self.run("tokenize", "--model", model, "--special", "--json", text=text))["tokens"]
            if got != expected:
                differing.append(f"{text[:40]!r}: {got[:20]} and {expected[:20]}")
        self.expect(f"{name}: the tokens of {len(self.texts)} texts; differing: {differing[:3]}", not differing)

    def metadata_is_the_same(self, name, tokenizer, model):
        fields = gguf.GGUFReader(model).fields
        number = lambda key: int(fields[key].parts[-1][0]) if key in fields else None
        text = lambda key: bytes(fields[key].parts[-1]).decode() if key in fields else ""
        adds_bos = tokenizer.encode("a")[0] == tokenizer.bos_token_id
        expected = [tokenizer.bos_token_id, tokenizer.eos_token_id, adds_bos, tokenizer.chat_template or ""]
        got = [number("tokenizer.ggml.bos_token_id"), number("tokenizer.ggml.eos_token_id"),
               bool(number("tokenizer.ggml.add_bos_token")), text("tokenizer.chat_template")]
        self.expect(f"{name}: BOS, EOS, whether BOS comes first, chat template", got == expected)

    def made_model(self, make, options, kind, tokenizer, size, folder):
        torch.manual_seed(len(folder.name))
        config = make(vocab_size=len(tokenizer) + 13, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
                      **{**SMALL, **options})
        model = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():  # so that no two tokens, heads or rows do nearly the same
            for parameter in model.parameters():
                parameter.normal_(1.0, 0.2) if parameter.dim() == 1 and parameter.numel() == 64 else parameter.normal_(0, 0.2)
        model.to(kind).save_pretrained(folder, max_shard_size=size)
        tokenizer.save_pretrained(folder)
        return transformers.AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="eager")

    def model_is_the_same(self, name, tokenizer, folder):
        make, options, kind, _, size = MODELS[name]
        model = self.made_model(make, options, kind, tokenizer, size, folder)
        out = folder / "out.gguf"
        self.run("quantize", folder, out, "--type", "f32")
        tokens = torch.randint(len(tokenizer), (1, 100), generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            logits = model(tokens).logits[0].double()
        expected = torch.log_softmax(logits[:-1], -1).gather(1, tokens[0, 1:, None])[:, 0].numpy()
        (folder / "tokens.json").write_text(json.dumps(tokens[0].tolist()))
        got = json.loads(self.run("perplexity", "--model", out, "--tokens", folder / "tokens.json", "--json"))
        off = float(np.max(np.abs(np.array(got["next_token_logprob"]) - expected)))
        self.expect(f"{name}: {off:.2e} apart at most of log-probabilities that vary by {expected.std():.1f}",
                    off < TOLERANCE and expected.std() > 1)
        self.expect(f"{name}: nothing is left beside the result", not list(folder.glob("out.gguf?*")))
        self.metadata_is_the_same(name, tokenizer, out)
        self.texts_are_scored(name, folder)
        return out

    def texts_are_scored(self, name, folder):
        text = folder / "text.txt"
        text.write_text(self.texts[-1])
        out = self.run("quantize", folder, folder / "q8.gguf", "--type", "q8_0", "--text", text, "--json")
        report = json.loads(out)
        worst = max(tensor["relative_error"] for tensor in report["tensors"])
        apart = abs(np.log(report["perplexity_after"] / report["perplexity_before"]))
        self.expect(f"{name}: as Q8_0 off by {worst:.4f} at most, perplexity by {apart:.4f}", 0 < worst < 0.01 and apart < 0.05)

    def published_tokenizer(self, source):
        """A tokenizer that somebody published, beside a model of few weights."""
        tokenizer = transformers.AutoTokenizer.from_pretrained(source)
        folder = self.folder / f"published_{source.parent.parent.name}"
        options = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1)
        config = transformers.LlamaConfig(vocab_size=len(tokenizer) + 3, bos_token_id=tokenizer.bos_token_id, **options)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        for file in ["tokenizer.json", "tokenizer_config.json"]:
            shutil.copy(source / file, folder / file)
        out = folder / "out.gguf"
        self.run("quantize", folder, out, "--type", "f16")
        self.metadata_is_the_same(str(source), tokenizer, out)
        self.tokens_are_the_same(str(source), tokenizer, out)

    def everything(self):
        vocabularies = {name: byte_level(name, self.corpus) for name in ["gpt-2", "smollm", "qwen2", "llama-bpe"]}
        vocabularies["sentencepiece"] = sentence_piece(self.corpus, self.folder)
        checked = set()
        for number, (name, case) in enumerate(MODELS.items()):
            vocabulary = case[3]
            out = self.model_is_the_same(name, vocabularies[vocabulary], self.folder / f"model_{number}")
            if vocabulary not in checked:
                self.tokens_are_the_same(vocabulary, vocabularies[vocabulary], out)
            checked.add(vocabulary)
        self.expect("every vocabulary belongs to a model", checked == set(vocabularies))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True, help="fleetune-model")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="the shared test data")
    parser.add_argument("--tokenizer", type=pathlib.Path, action="append", default=[], metavar="FOLDER",
                        help="check only this published tokenizer; may be repeated")
    arguments = parser.parse_args()
    print(f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        check = Check(arguments, pathlib.Path(folder))
        for source in arguments.tokenizer:
            check.published_tokenizer(source)
        if not arguments.tokenizer:
            check.everything()
    return 1 if check.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
