package io.vhostfs.sim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.io.File;
import java.io.IOException;
import java.io.StringWriter;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import javax.tools.JavaCompiler;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/**
 * The simulation finds bugs: each of these is planted in the product's source, and found within so many seeds.
 *
 * <p>One file is changed, compiled against the product's classes, and put in front of them in a class loader of its own.
 */
class PlantedBugsTest {
    private static final long FIRST_SEED = 1;
    private static final Path SOURCES = Path.of("src/main/java/io/vhostfs");

    /**
     * A change of one source.
     *
     * @param file the source, below {@code io/vhostfs}
     * @param right text that must be there exactly once
     * @param wrong what takes its place
     */
    private record Edit(String file, String right, String wrong) {}

    /**
     * A bug to be.
     *
     * @param what what it does
     * @param seeds within how many seeds it must be found
     * @param damaged whether those are seeds with damaged disks: nothing else shows it, and few seeds have one
     */
    private record Bug(String what, int seeds, boolean damaged, List<Edit> edits) {
        Bug(String what, int seeds, List<Edit> edits) {
            this(what, seeds, false, edits);
        }

        Bug(String what, String file, String right, String wrong, int seeds) {
            this(what, seeds, List.of(new Edit(file, right, wrong)));
        }

        Bug onDamagedDisks() {
            return new Bug(what, seeds, true, edits);
        }
    }

    /** Harmless by itself: each group is a record of its own, so that a cut may come between two of them. */
    private static final Edit RECORD_PER_GROUP = new Edit(
            "blobstore/Log.java",
            "if (filling != NONE && fillBytes + groupBytes > recordBytes) {",
            "if (filling != NONE && (fillBytes + groupBytes > recordBytes || (fillGroups > 0 && freeCount > 0))) {");

    private static final List<Bug> BUGS = List.of(
            new Bug(
                    "a log record is written before the data it leads to is durable",
                    "blobstore/Log.java",
                    "tickets[filling] = flusher.dataTicket();",
                    "tickets[filling] = 0;",
                    20),
            new Bug(
                    "log records are written without FUA",
                    "blobstore/Log.java",
                    "forceUnitAccess = volatileCache;",
                    "forceUnitAccess = false;",
                    10),
            new Bug(
                    "a torn log record is accepted",
                    "blobstore/LogRecord.java",
                    "return crc(record) == crc32c.of(record + UUID_OFFSET, length(record) - UUID_OFFSET);",
                    "return record != 0 || crc32c.of(record, 0) == 0;",
                    60),
            new Bug(
                    "a log record need not follow the one before it",
                    "blobstore/LogRecord.java",
                    "&& sequence(block) == sequence\n                && Memory.getInt(block + CHAIN_OFFSET) == chain\n",
                    "",
                    20),
            new Bug(
                    "the root slot is switched before the nodes are durable",
                    "blobstore/Checkpoint.java",
                    "flushTicket = flusher.ticket();",
                    "flushTicket = 0;",
                    20),
            new Bug(
                    "a freed block is used again before the checkpoint that follows",
                    "blobstore/SpaceMap.java",
                    "freedData.add(block, blocks);\n        pendingBlocks += blocks;",
                    "release(block, blocks);",
                    40),
            new Bug(
                    "a sync is answered when its log record is sealed, not when it is durable",
                    "blobstore/Commits.java",
                    "(log.durableGroup() >= waiter.targetGroup && flusher",
                    "(log.sealedGroup() >= waiter.targetGroup && flusher",
                    20),
            new Bug(
                    "a data write is forgotten by the next flush",
                    "blobfs/FileOp.java",
                    "context.store.noteDataWrite(context.slot);",
                    "",
                    20),
            new Bug(
                    "a name and its inode are two groups",
                    20,
                    List.of(
                            RECORD_PER_GROUP,
                            new Edit(
                                    "blobfs/Namespace.java",
                                    "        putTarget(r, inode);\n",
                                    """
                                            store.end();
                                            volume.prepareInode(inode.number);
                                            if (inode.mode >>> 12 == 10) {
                                                prepareTarget(r, inode.number);
                                            }
                                            if (isDirectory) {
                                                volume.prepareInode(dir.number);
                                            }
                                            store.begin(20_000);
                                            putTarget(r, inode);
                                    """))),
            new Bug(
                    "the two names of a rename are two groups",
                    20,
                    List.of(
                            RECORD_PER_GROUP,
                            new Edit(
                                    "blobfs/Renames.java",
                                    "            store.delete(from.number, sourceKey);\n        }\n",
                                    """
                                                store.delete(from.number, sourceKey);
                                            }
                                            store.end();
                                            directory.prepareEntry(to.number, targetKey, r.name2Length);
                                            volume.prepareInode(source.number);
                                            volume.prepareInode(from.number);
                                            volume.prepareInode(to.number);
                                            if (target != null) {
                                                namespace.prepareDropLink(target);
                                            }
                                            store.begin(20_000);
                                    """))),
            new Bug(
                    "an inode that loses its last name is not recorded as an orphan",
                    "blobfs/Namespace.java",
                    "        store.put(Items.SYSTEM, Items.orphanKey(inode.number), volume.scratch, Items.ORPHAN_SIZE);\n"
                            + "        volume.addOrphan(inode);",
                    "        volume.addOrphan(inode);",
                    20),
            new Bug(
                    "fdatasync skips the size",
                    "blobfs/BlobFs.java",
                    "return commit(r, inode.changedSequence > store.committedSequence());",
                    "return commit(r, !r.dataOnly && inode.changedSequence > store.committedSequence());",
                    20),
            new Bug(
                    "a truncated file's last block is not zeroed when it grows again",
                    "blobfs/SpaceSteps.java",
                    "(op.newSize & Items.BLOCK_MASK) != 0 && op.context.cursor.state >= ExtentCursor.WRITTEN",
                    "(op.newSize & Items.BLOCK_MASK) > 99_999",
                    60),
            new Bug(
                    "after a mount a file's last block is taken for clean behind the end",
                    "blobfs/Inode.java",
                    "if (isRegular() && !isInline()) {\n            // An append",
                    "if (isRegular() && !isInline() && links < 0) {\n            // An append",
                    40),
            new Bug(
                    "numbers of inodes are not reserved in the log",
                    "blobfs/Volume.java",
                    "            putCounter(inodeLimit);\n",
                    "",
                    20),
            new Bug(
                    "a mount builds on what lies in the disk's cache",
                    "blobstore/Recovery.java",
                    "                io.flush();\n",
                    "",
                    60),
            new Bug(
                    "freed blocks are discarded at once",
                    "blobstore/BlobStore.java",
                    "        space.free(block, blocks);\n",
                    """
                            space.free(block, blocks);
                            if (options.discard() && device.supportsDiscard()) {
                                BlockIo discard = new BlockIo() {
                                    @Override
                                    public void onComplete(int status) {}
                                };
                                discard.operation = BlockIo.DISCARD;
                                discard.offsetBytes = block * BLOCK_SIZE;
                                discard.lengthBytes = (long) blocks * BLOCK_SIZE;
                                submit(discard);
                            }
                    """,
                    30),
            new Bug(
                    "a store that grows uses what is new, and says so, before its root slot does",
                    "blobstore/StoreGrowth.java",
                    "        wanted = maps;\n",
                    "        space.grow(maps);\n",
                    60),
            new Bug(
                            "the checksum of a node is not looked at",
                            "blobstore/Node.java",
                            "if (Memory.getInt(node + CRC_OFFSET) != crc32c.of(",
                            "if (node == 0 && Memory.getInt(node + CRC_OFFSET) != crc32c.of(",
                            80)
                    .onDamagedDisks(),
            new Bug(
                            "a child may be of another version than its parent means",
                            "blobstore/NodeCache.java",
                            "if (Node.crc(node) != io.crc || Node.generation(node) != io.generation) {",
                            "if (node == 0 && Node.crc(node) != io.crc) {",
                            80)
                    .onDamagedDisks());

    @TempDir
    private Path directory = Path.of("");

    static {
        // Mounts by the thousand, and disks that fail on purpose.
        System.setProperty("org.slf4j.simpleLogger.log.io.vhostfs.blobstore", "off");
        System.setProperty("org.slf4j.simpleLogger.log.io.vhostfs.reactor", "off");
    }

    @TestFactory
    Stream<DynamicTest> eachIsFound() {
        // To look at one of them: a part of its name.
        String wanted = System.getProperty("vhostfs.planted", "");
        return BUGS.stream()
                .filter(bug -> bug.what().contains(wanted))
                .map(bug -> dynamicTest(bug.what(), () -> assertFound(bug)));
    }

    private void assertFound(Bug bug) throws Exception {
        Path classes = Files.createDirectory(directory.resolve("mutant" + BUGS.indexOf(bug)));
        compile(bug, classes);
        String found = run(bug, classes);
        assertTrue(found != null, "not found within " + bug.seeds() + " seeds");
        System.out.printf(Locale.ROOT, "planted: %s; found: %s%n", bug.what(), found);
    }

    private void compile(Bug bug, Path classes) throws IOException {
        List<Path> changed = new ArrayList<>();
        for (Edit edit : bug.edits()) {
            changed.add(change(edit, classes));
        }
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        StringWriter messages = new StringWriter();
        try (StandardJavaFileManager files = compiler.getStandardFileManager(null, null, null)) {
            List<String> options = List.of("-proc:none", "-nowarn", "-cp", classPath(), "-d", classes.toString());
            boolean good = compiler.getTask(
                            messages,
                            files,
                            null,
                            options,
                            null,
                            files.getJavaFileObjects(changed.toArray(Path[]::new)))
                    .call();
            assertTrue(good, messages.toString());
        }
    }

    private static Path change(Edit edit, Path classes) throws IOException {
        Path file = SOURCES.resolve(edit.file());
        String source = Files.readString(file);
        int at = source.indexOf(edit.right());
        assertTrue(at >= 0, "the text to be replaced is not in " + file);
        assertEquals(at, source.lastIndexOf(edit.right()), "the text to be replaced is there twice in " + file);
        Path changed = Files.createDirectories(classes.resolve("source"))
                .resolve(edit.file().replaceFirst(".*/", ""));
        Files.writeString(changed, source.replace(edit.right(), edit.wrong()));
        return changed;
    }

    private static String classPath() {
        // Surefire may hide it in the manifest of a jar.
        return System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
    }

    /** What was found, or null. */
    private static @Nullable String run(Bug bug, Path classes) throws Exception {
        List<URL> urls = new ArrayList<>();
        urls.add(classes.toUri().toURL());
        for (String entry : classPath().split(File.pathSeparator, -1)) {
            urls.add(Path.of(entry).toUri().toURL());
        }
        try (Mutants loader = new Mutants(urls.toArray(URL[]::new))) {
            Class<?> runner = loader.loadClass("io.vhostfs.sim.SimRunner");
            return (String) runner.getMethod("describeFirstFailure", long.class, int.class, boolean.class)
                    .invoke(null, FIRST_SEED, bug.seeds(), bug.damaged());
        } catch (InvocationTargetException e) {
            throw new AssertionError(bug.what(), e.getCause());
        }
    }

    /** Loads the product's classes itself, the changed ones first, and leaves all else to its parent. */
    private static final class Mutants extends URLClassLoader {
        Mutants(URL[] urls) {
            super(urls, PlantedBugsTest.class.getClassLoader());
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (!name.startsWith("io.vhostfs.")) {
                return super.loadClass(name, resolve);
            }
            synchronized (getClassLoadingLock(name)) {
                Class<?> loaded = findLoadedClass(name);
                return loaded != null ? loaded : findClass(name);
            }
        }
    }
}
