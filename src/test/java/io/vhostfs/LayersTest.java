package io.vhostfs;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.Architectures.layeredArchitecture;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.library.Architectures.LayeredArchitecture;
import io.vhostfs.os.Errno;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** Holds the order of the layers in docs/architecture.md, from which it is read. */
class LayersTest {
    private static final String ROOT = "io.vhostfs.";

    /** Rows of the table of layers: the package's name in the first column. */
    private static final Pattern ROW = Pattern.compile("^\\| `([a-z]+)` \\|", Pattern.MULTILINE);

    private static final List<String> LAYERS = readLayers();
    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(new ImportOption.DoNotIncludeTests())
            .importPath(mainClasses());

    private static List<String> readLayers() {
        try {
            return ROW.matcher(Files.readString(Path.of("docs/architecture.md")))
                    .results()
                    .map((MatchResult row) -> row.group(1))
                    .toList();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private static Path mainClasses() {
        try {
            return Path.of(Errno.class
                    .getProtectionDomain()
                    .getCodeSource()
                    .getLocation()
                    .toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void theTableOfLayersIsThere() {
        assertEquals("os", LAYERS.getLast());
        assertTrue(LAYERS.contains("bdev"), LAYERS.toString());
    }

    @Test
    void everyPackageHasItsLayer() {
        Set<String> packages = CLASSES.stream()
                .map(c -> c.getPackageName())
                .filter(name -> name.startsWith(ROOT) && !name.startsWith(ROOT + "bindings"))
                .map(name -> name.substring(ROOT.length()).replaceFirst("\\..*", ""))
                .collect(Collectors.toCollection(TreeSet::new));
        packages.removeAll(LAYERS);
        assertEquals(Set.of(), packages, "packages that the table in docs/architecture.md lacks");
    }

    private static LayeredArchitecture inOrder(List<String> layers) {
        LayeredArchitecture architecture =
                layeredArchitecture().consideringOnlyDependenciesInLayers().withOptionalLayers(true);
        for (String layer : layers) {
            architecture = architecture.layer(layer).definedBy(ROOT + layer + "..");
        }
        for (int i = 0; i < layers.size(); i++) {
            String layer = layers.get(i);
            List<String> above = layers.subList(0, i);
            architecture = above.isEmpty()
                    ? architecture.whereLayer(layer).mayNotBeAccessedByAnyLayer()
                    : architecture.whereLayer(layer).mayOnlyBeAccessedByLayers(above.toArray(String[]::new));
        }
        return architecture;
    }

    @Test
    void dependenciesPointDownTheTable() {
        inOrder(LAYERS).check(CLASSES);
    }

    @Test
    void anotherOrderWouldBeFound() {
        assertThrows(AssertionError.class, () -> inOrder(List.of("os", "bdev", "reactor"))
                .check(CLASSES));
    }

    @Test
    void onlyOsKnowsTheGeneratedBindings() {
        noClasses()
                .that()
                .resideOutsideOfPackages(ROOT + "os..", ROOT + "bindings..")
                .should()
                .dependOnClassesThat()
                .resideInAPackage(ROOT + "bindings..")
                .check(CLASSES);
    }

    @Test
    void everyPackageSaysWhatItIs() {
        Set<String> packages = CLASSES.stream()
                .filter(c -> !c.getPackageName().startsWith(ROOT + "bindings"))
                .filter(c -> !c.getModifiers().contains(JavaModifier.SYNTHETIC))
                .map(c -> c.getPackageName())
                .collect(Collectors.toCollection(TreeSet::new));
        packages.removeIf(name -> Files.exists(Path.of("src/main/java", name.replace('.', '/'), "package-info.java")));
        assertEquals(Set.of(), packages, "packages without a package-info.java");
    }
}
