package io.vhostfs.os;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.Iovecs;
import io.vhostfs.uring.UringConstants;
import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/**
 * Compares what is written by hand with what jextract generated from the C headers.
 *
 * <p>Nothing needs to be registered: every class of the product is searched. A static final number whose name is that of
 * a C constant, or {@code STRUCT_FIELD_OFFSET} or {@code STRUCT_SIZE} of a C struct, must have its value. A class with
 * such numbers is a holder. Every number of a class that is nothing but a holder must have such a counterpart; of one that
 * is something else too, every number named like one (with the same first word, or an offset). Exceptions are listed here
 * with their reasons.
 */
class AbiTest {
    private static final String ROOT = "io.vhostfs.";
    private static final String BINDINGS = ROOT + "bindings.";

    /** A class is a holder from so many C constants on; fewer may be a chance likeness. */
    private static final int CONSTANTS_OF_A_HOLDER = 3;

    /** Numbers without a counterpart in the headers, or with one of another meaning, and why. */
    private static final Map<String, String> EXEMPT = Map.of(
            "blobfs.Modes.PERMISSIONS", "07777 has no name in the kernel's headers",
            "fuse.FuseConstants.FUSE_KERNEL_MINOR_VERSION", "the newest that we speak; the header's is its kernel's");

    private static final Map<String, Method> CONSTANTS = new HashMap<>();
    private static final Map<String, Class<?>> STRUCTS = new TreeMap<>();
    private static final List<Class<?>> PRODUCT = new ArrayList<>();

    @BeforeAll
    static void findClasses() throws IOException, ReflectiveOperationException, URISyntaxException {
        Path classes = Path.of(
                Errno.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        try (Stream<Path> files = Files.walk(classes.resolve("io/vhostfs"))) {
            for (Path file : files.filter(f -> f.toString().endsWith(".class")).toList()) {
                String name =
                        classes.relativize(file).toString().replace('/', '.').replaceFirst("\\.class$", "");
                Class<?> type = Class.forName(name, false, AbiTest.class.getClassLoader());
                if (!name.startsWith(BINDINGS)) {
                    PRODUCT.add(type);
                } else if (type.getSimpleName().endsWith("_h")) {
                    addConstants(type);
                } else if (type.getEnclosingClass() == null && hasLayout(type)) {
                    STRUCTS.put(type.getSimpleName().toUpperCase(Locale.ROOT), type);
                }
            }
        }
    }

    private static void addConstants(Class<?> entry) {
        for (Method method : entry.getMethods()) {
            Class<?> result = method.getReturnType();
            boolean isNumber =
                    result == byte.class || result == short.class || result == int.class || result == long.class;
            if (isNumber && method.getParameterCount() == 0 && Modifier.isStatic(method.getModifiers())) {
                CONSTANTS.put(method.getName(), method);
            }
        }
    }

    private static boolean hasLayout(Class<?> type) {
        return Stream.of(type.getMethods()).anyMatch(m -> m.getName().equals("sizeof"));
    }

    /** Whether there is a generated number of this name. */
    private static boolean isKnown(String name) {
        return CONSTANTS.containsKey(name) || fromStruct(name).isPresent();
    }

    /** Whether a generated number of this name has this value: STATX_SIZE is a bit of a mask, and the size of a struct. */
    private static boolean isRight(String name, long byHand) {
        Method constant = CONSTANTS.get(name);
        if (constant != null && same(byHand, call(constant))) {
            return true;
        }
        OptionalLong layout = fromStruct(name);
        return layout.isPresent() && same(byHand, layout.getAsLong());
    }

    private static OptionalLong fromStruct(String name) {
        if (name.endsWith("_SIZE")) {
            Class<?> struct = STRUCTS.get(name.substring(0, name.length() - "_SIZE".length()));
            if (struct != null) {
                return OptionalLong.of(callNamed(struct, "sizeof"));
            }
        }
        if (name.endsWith("_OFFSET")) {
            String path = name.substring(0, name.length() - "_OFFSET".length());
            for (int end = path.lastIndexOf('_'); end > 0; end = path.lastIndexOf('_', end - 1)) {
                Class<?> struct = STRUCTS.get(path.substring(0, end));
                String accessor = path.substring(end + 1).toLowerCase(Locale.ROOT) + "$offset";
                if (struct != null && declares(struct, accessor)) {
                    return OptionalLong.of(callNamed(struct, accessor));
                }
            }
        }
        return OptionalLong.empty();
    }

    private static boolean declares(Class<?> struct, String method) {
        return Stream.of(struct.getMethods()).anyMatch(m -> m.getName().equals(method));
    }

    private static long callNamed(Class<?> struct, String method) {
        try {
            return call(struct.getMethod(method));
        } catch (NoSuchMethodException e) {
            throw new AssertionError(e);
        }
    }

    private static long call(Method method) {
        try {
            return ((Number) method.invoke(null)).longValue();
        } catch (ReflectiveOperationException e) {
            throw new LinkageError(method.toString(), e);
        }
    }

    private static List<Field> numbers(Class<?> type) {
        return Stream.of(type.getDeclaredFields())
                .filter(f -> Modifier.isStatic(f.getModifiers()) && Modifier.isFinal(f.getModifiers()))
                .filter(f ->
                        Set.of(byte.class, short.class, int.class, long.class).contains(f.getType()))
                .filter(f -> !f.isSynthetic())
                .toList();
    }

    private static long value(Field field) {
        try {
            field.setAccessible(true);
            return ((Number) field.get(null)).longValue();
        } catch (IllegalAccessException e) {
            throw new AssertionError(e);
        }
    }

    /** Signed and unsigned readings of 32 bits are the same number: C macros are unsigned, Java's ints are not. */
    private static boolean same(long byHand, long fromHeader) {
        return byHand == fromHeader
                || ((int) byHand == (int) fromHeader && isThirtyTwoBits(byHand) && isThirtyTwoBits(fromHeader));
    }

    private static boolean isThirtyTwoBits(long number) {
        return number == (int) number || number == (number & 0xffff_ffffL);
    }

    private static boolean isHolder(Class<?> type) {
        List<Field> numbers = numbers(type);
        long constants =
                numbers.stream().filter(f -> CONSTANTS.containsKey(f.getName())).count();
        boolean layout = numbers.stream().anyMatch(f -> fromStruct(f.getName()).isPresent());
        return layout || constants >= CONSTANTS_OF_A_HOLDER;
    }

    /** The numbers of a holder that must have a counterpart. */
    private static Stream<Field> claims(Class<?> holder) {
        boolean nothingElse = Stream.of(holder.getDeclaredFields()).allMatch(f -> Modifier.isStatic(f.getModifiers()));
        Set<String> words = numbers(holder).stream()
                .filter(f -> isKnown(f.getName()))
                .map(AbiTest::firstWord)
                .collect(Collectors.toSet());
        return numbers(holder).stream()
                .filter(f -> (nothingElse && !Modifier.isPrivate(f.getModifiers()))
                        || words.contains(firstWord(f))
                        || f.getName().endsWith("_OFFSET"));
    }

    private static String firstWord(Field field) {
        return field.getName().split("_", 2)[0];
    }

    private static String label(Field field) {
        return field.getDeclaringClass().getName().substring(ROOT.length()) + "." + field.getName();
    }

    @Test
    void everyNumberWithACounterpartHasItsValue() {
        Map<String, Long> wrong = new TreeMap<>();
        for (Class<?> type : PRODUCT) {
            for (Field field : numbers(type)) {
                String name = field.getName();
                if (isKnown(name) && !EXEMPT.containsKey(label(field)) && !isRight(name, value(field))) {
                    wrong.put(label(field), value(field));
                }
            }
        }
        assertEquals(Map.of(), wrong, "the headers have other values for these");
    }

    @Test
    void everyNumberOfAHolderHasACounterpart() {
        Set<String> alone = PRODUCT.stream()
                .filter(AbiTest::isHolder)
                .flatMap(AbiTest::claims)
                .filter(f -> !isKnown(f.getName()))
                .map(AbiTest::label)
                .filter(label -> !EXEMPT.containsKey(label))
                .collect(Collectors.toCollection(TreeSet::new));
        assertEquals(
                Set.of(),
                alone,
                "mend the name, or add the symbol to jextract/*.includes and run jextract/generate, or list it in EXEMPT"
                        + " with its reason");
    }

    @Test
    void theSearchFindsWhatIsKnownToBeThere() {
        Set<Class<?>> holders = PRODUCT.stream().filter(AbiTest::isHolder).collect(Collectors.toSet());
        assertTrue(
                holders.containsAll(
                        Set.of(Errno.class, LibcConstants.class, FileStatus.class, UringConstants.class, Iovecs.class)),
                holders.toString());
    }

    @Test
    void exemptionsAreStillNeeded() {
        Set<String> unneeded = new TreeSet<>(EXEMPT.keySet());
        for (Class<?> type : PRODUCT) {
            numbers(type).stream()
                    .filter(f -> !isRight(f.getName(), value(f)))
                    .map(AbiTest::label)
                    .forEach(unneeded::remove);
        }
        assertEquals(Set.of(), unneeded);
    }

    @Test
    void aWrongOrUnknownNumberWouldBeFound() {
        assertTrue(isRight("EIO", Errno.EIO));
        assertFalse(isRight("EIO", Errno.ENXIO));
        assertTrue(isRight("IO_URING_SQE_RW_FLAGS_OFFSET", 28));
        assertFalse(isRight("IO_URING_SQE_RW_FLAGS_OFFSET", 24));
        assertTrue(isRight("IO_URING_SQE_SIZE", 64));
        assertFalse(isKnown("IO_URING_SQE_NO_SUCH_FIELD_OFFSET"));
        assertTrue(same(0x8000_0000, 0x8000_0000L));
        assertFalse(same(-1, 0xffff_ffff_0000_0000L));
    }
}
