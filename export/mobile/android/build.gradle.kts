plugins {
    id("com.android.library") version "8.13.0"
    kotlin("android") version "2.2.20"
}

android {
    namespace = "keras.t2i"
    compileSdk = 36
    defaultConfig { minSdk = 23 } // what LiteRT 2 asks for
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

kotlin { jvmToolchain(17) }

dependencies {
    implementation("com.google.ai.edge.litert:litert:2.3.0")
}
