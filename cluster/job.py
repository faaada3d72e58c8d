#!/usr/bin/env python3
"""Makes what `hashget publish finish` publishes, on a cluster of Apache Spark: reads packages, and sorts what is in them.

Invariant: what is in a package is said by the program `hashget` alone; Spark spreads, retries, sorts and counts. Every output is
written once, in an order that does not depend on how many machines there are or which of them failed; where Spark and the program
must agree (order, numbers, keys), `hashget publish finish` checks every row.

    spark-submit job.py facts --lists 'lists/*.txt' --facts FACTS --hashget /usr/bin/hashget
    spark-submit job.py sort --facts FACTS --gathered GATHERED
    hashget publish finish GATHERED -o OUT --key FILE
"""
import argparse
import shlex

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

RECORD = [
    "sha256 string", "size long", "format string", "nested boolean", "rules int", "members long", "list string",
    "passed_over long", "urls array<string>", "seen string", "names array<string>", "keeping string", "expires string",
]
FACT = ", ".join(RECORD + [
    "statement string", "member_list string", "files array<struct<path: string, size: long, sha256: string>>",
    "url string", "error string",
])
# Strings of Spark's JSON reader end at 20,000,000 characters otherwise; the list of a large package is longer.
JSON_OPTIONS = {"maxStringLen": str(2**31 - 1)}
# What a package has that no list ranks.
NOT_RANKED = 2**32 - 1


def facts(spark, options):
    """Reads the packages of the lists: facts of each, or why there are none, as Parquet."""
    command = f"{shlex.quote(options.hashget)} publish facts --quiet --jobs {options.jobs}"
    lines = spark.sparkContext.textFile(options.lists).filter(lambda line: line.strip()).distinct(options.slices)
    read = lines.pipe(command, checkCode=True).map(lambda line: (line,))
    parsed = spark.createDataFrame(read, "line string").select(F.from_json("line", FACT, JSON_OPTIONS).alias("fact"))
    flat = parsed.select("fact.*").withColumn("member_list", F.unbase64("member_list"))
    flat.write.mode(options.mode).parquet(options.facts)
    counted = spark.read.parquet(options.facts).agg(F.count("sha256"), F.count("error")).first()
    print(f"facts: {counted[0]} packages, {counted[1]} failed")


def merged(known):
    """Each package once, with the names and URLs of all who have it; whoever looked into more of it comes first, then whoever
    got it last. As `hashget publish` merges."""
    order = Window.partitionBy("sha256").orderBy(
        F.col("nested").desc(), F.col("seen").desc_nulls_last(), F.col("urls"))
    numbered = known.drop("member_list", "files").withColumn("turn", F.row_number().over(order))
    turns = "array_sort(collect_list(struct(turn, urls, names)))"
    together = numbered.groupBy("sha256").agg(
        F.expr(f"array_distinct(flatten(transform({turns}, one -> one.urls)))").alias("all_urls"),
        F.expr(f"array_distinct(flatten(transform({turns}, one -> one.names)))").alias("all_names"),
        (F.count_distinct("statement") > F.count_distinct("nested")).alias("contradicts"))
    return (numbered.where("turn = 1").join(together, "sha256").drop("turn")
            .withColumn("urls", F.col("all_urls")).withColumn("names", F.col("all_names")).drop("all_urls", "all_names"))


def rank_of(spark, file):
    """The rank of the package with a name: as `hashget publish --rank` ranks."""
    if file is None:
        return lambda name: F.lit(0)
    ranks = {}
    with open(file, encoding="utf-8") as lines:
        names = [line.split() for line in lines if not line.strip().startswith("#")]
    for rank, words in enumerate(words for words in names if words):
        ranks.setdefault(words[0], rank)
    shared = spark.sparkContext.broadcast(ranks)

    def rank(name):
        value = (name or "").split(":", 1)[-1]
        names = [value] + [value.split(mark, 1)[0] for mark in "_@="] + [value.rsplit("-", 1)[0]]
        return next((shared.value[name] for name in names if name in shared.value), NOT_RANKED)

    return F.udf(rank, "long", useArrow=False)


def in_order(spark, packages, options):
    """The packages with their numbers, in the order of `hashget publish`: collection, rank, first name, digest."""
    name = F.coalesce(F.get("names", F.lit(0)), F.lit(""))
    kind = F.when(name == "", "other").otherwise(F.substring_index(name, ":", 1))
    collection = kind if options.collection is None else F.lit(options.collection)
    ordered = packages.withColumn("rank", rank_of(spark, options.rank)(name)).orderBy(collection, "rank", name, "sha256")
    # Written before it is counted: bounds of a sorted table are drawn from a sample, and another run could draw others.
    kept = f"{options.gathered}/order"
    row = F.monotonically_increasing_id().bitwiseAND(2**33 - 1)
    ordered.withColumn("part", F.spark_partition_id()).withColumn("row", row).write.mode("overwrite").parquet(kept)
    kept = spark.read.parquet(kept)
    first, firsts = 0, []
    for part, count in sorted(tuple(row) for row in kept.groupBy("part").count().collect()):
        firsts.append((part, first))
        first += count
    firsts = spark.createDataFrame(firsts, "part int, first long")
    numbered = kept.join(F.broadcast(firsts), "part").withColumn("number", F.col("first") + F.col("row"))
    return numbered.drop("part", "row", "first", "rank"), first


def sort(spark, options):
    """Writes packages in order and keys in shards, as lines of text."""
    known = spark.read.parquet(options.facts).where("error is null").drop("url", "error")
    known = known.withColumn("nested", F.coalesce("nested", F.lit(False)))
    known = known.withColumn("names", F.coalesce("names", F.expr("array()").cast("array<string>")))
    heads, count = in_order(spark, merged(known), options)
    contradicting = [row.sha256 for row in heads.where("contradicts").select("sha256").head(10)]
    if contradicting:
        raise SystemExit(f"facts contradict each other of {', '.join(contradicting)}: read these packages again with one version of hashget")
    read = known.select("sha256", "nested", "member_list", "files").dropDuplicates(["sha256", "nested"])
    packages = heads.drop("contradicts").join(read, ["sha256", "nested"])
    write_packages(packages, options)
    write_keys(packages, options)
    print(f"sorted: {count} packages")


def write_packages(packages, options):
    """A line of JSON a package; files of so many of them, in order."""
    fields = [field.split()[0] for field in RECORD]
    # Spark may break base64 into lines.
    member_list = F.translate(F.base64("member_list"), "\r\n", "")
    line = F.to_json(F.struct(*fields, member_list.alias("member_list")))
    part = F.lpad(F.floor(F.col("number") / options.rows).cast("string"), 7, "0")
    lines = packages.withColumn("part", part).repartition(options.slices, "part")
    lines = lines.sortWithinPartitions("part", "number").select("part", line.alias("line"))
    written(lines, "part", f"{options.gathered}/packages")


def write_keys(packages, options):
    """A line of key and number for each pair; a file for each of the keys' first hexadecimal digits, sorted. A range is named by
    its first bits and not drawn from a sample, so that it is the same in every run."""
    digests = F.concat(
        F.transform("files", lambda file: file["sha256"]), F.array("sha256", "statement"),
        F.transform("urls", lambda url: F.sha2(F.concat(F.lit("url:"), url), 256)))
    keys = F.array_distinct(F.transform(digests, lambda digest: F.substring(digest, 1, 12)))
    pairs = packages.select(F.explode(keys).alias("key"), "number")
    pairs = pairs.withColumn("shard", F.substring("key", 1, options.digits))
    pairs = pairs.repartition(16**options.digits, "shard").sortWithinPartitions("shard", "key", "number")
    written(pairs.select("shard", F.concat_ws(" ", "key", "number").alias("line")), "shard", f"{options.gathered}/keys")


def written(lines, by, folder):
    lines.write.mode("overwrite").partitionBy(by).option("compression", "gzip").text(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("facts", help="read the packages that lists name")
    one.add_argument("--lists", required=True, help="files of lines URL, name, SHA-256, with tabs between; the last two may be left out")
    one.add_argument("--facts", required=True, help="folder of Parquet files to write")
    one.add_argument("--hashget", default="hashget", help="the program, on every machine")
    one.add_argument("--jobs", type=int, default=1, help="packages that one task reads at a time")
    one.add_argument("--slices", type=int, default=200, help="tasks; a task that fails is done again from its start")
    one.add_argument("--mode", choices=["errorifexists", "append", "overwrite"], default="errorifexists")
    two = commands.add_parser("sort", help="put packages and keys in order")
    two.add_argument("--facts", required=True)
    two.add_argument("--gathered", required=True, help="folder to write")
    two.add_argument("--rank", help="as of `hashget publish`")
    two.add_argument("--collection", help="as of `hashget publish`")
    two.add_argument("--rows", type=int, default=100_000, help="packages in a file")
    two.add_argument("--slices", type=int, default=200, help="tasks that write packages")
    two.add_argument("--digits", type=int, choices=[1, 2, 3], default=3, help="hexadecimal digits that name a shard of keys")
    options = parser.parse_args()
    spark = SparkSession.builder.appName(f"hashget {options.command}").getOrCreate()
    # Smaller than Snappy, whose library Java does not find on every system.
    spark.conf.set("spark.sql.parquet.compression.codec", "zstd")
    spark.sparkContext.setLogLevel("WARN")
    {"facts": facts, "sort": sort}[options.command](spark, options)
    spark.stop()


if __name__ == "__main__":
    main()
